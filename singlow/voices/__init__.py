"""Runs with speakers: conversion of voices, identification of speakers, and new voices."""
