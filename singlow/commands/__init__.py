"""The verbs of the command line, and how their flags are read."""

_HERE = "singlow.commands"

VERBS = {
    "train": f"{_HERE}.train:train",
    "prepare": f"{_HERE}.prepare:prepare",
    "import": f"{_HERE}.imports:import_",
    "check": f"{_HERE}.check:check",
    "sample": f"{_HERE}.sample:sample",
    "encode": f"{_HERE}.encode:encode",
    "decode": f"{_HERE}.encode:decode",
    "migrate": f"{_HERE}.migrate:migrate",
    "interpolate": f"{_HERE}.interpolate:interpolate",
    "convert": f"{_HERE}.convert:convert",
    "enroll": f"{_HERE}.enroll:enroll",
    "vocode": f"{_HERE}.vocode:vocode",
    "speak": f"{_HERE}.speak:speak",
    "align": f"{_HERE}.align:align",
    "evaluate": f"{_HERE}.evaluate:evaluate",
    "project": f"{_HERE}.project:project",
    "votes": f"{_HERE}.votes:votes",
    "doctor": f"{_HERE}.doctor:doctor",
    "completion": f"{_HERE}.completion:completion",
}
"""The function of each verb as `module:name`; only the module of the verb that runs is imported."""
