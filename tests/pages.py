"""Pages, read as a browser reads them."""

import html.parser

_VOID = ("meta", "img", "input")


class Page(html.parser.HTMLParser):
    """Tags that are opened and closed in order, and what they refer to.

    Attributes:
        seen: names of tags.
        sources: what `src` and `href` say.
        names: of inputs.
        text: everything that is shown, scripts included.
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
