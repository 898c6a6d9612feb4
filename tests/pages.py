"""Parse HTML pages as a browser does."""

import html.parser

_VOID = ("meta", "img", "input")


class Page(html.parser.HTMLParser):
    """The tags of a page, which must be closed in order, and the files that they refer to.

    Attributes:
        seen: names of the tags.
        sources: values of the attributes `src` and `href`.
        names: names of the inputs.
        text: all text, scripts included.
    """

    def __init__(self, page):
        super().__init__()
        self.open, self.sources, self.names, self.seen, self.text = [], [], [], set(), ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        self.sources += [value for key, value in attributes if key in ("src", "href")]
        self.names += [value for key, value in attributes if key == "name" and tag == "input"]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
