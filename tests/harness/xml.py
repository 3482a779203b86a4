# SPDX-License-Identifier: MIT
"""Elements, and a parser for streams of them."""

from xml.parsers import expat

NS_CLIENT = "jabber:client"
NS_STREAM = "http://etherx.jabber.org/streams"
NS_TLS = "urn:ietf:params:xml:ns:xmpp-tls"
NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
NS_SASL2 = "urn:xmpp:sasl:2"
NS_BIND = "urn:ietf:params:xml:ns:xmpp-bind"
NS_SM = "urn:xmpp:sm:3"
NS_XML = "http://www.w3.org/XML/1998/namespace"

STANZAS = {"message", "presence", "iq"}

# Prefixes that may be used in a fragment without being declared there.
HEADER = (f"<stream:stream xmlns='{NS_CLIENT}' xmlns:stream='{NS_STREAM}'"
          f" xmlns:db='jabber:server:dialback'>")


class BadXml(Exception):
    """What came is not a stream of XML elements."""


class Elem:
    """An element: namespace and name, attributes, children in order, of which
    those that are str are text."""

    __slots__ = ("ns", "name", "attrs", "children")

    def __init__(self, ns, name, attrs):
        self.ns = ns
        self.name = name
        self.attrs = attrs
        self.children = []

    @property
    def is_stanza(self):
        return self.ns == NS_CLIENT and self.name in STANZAS

    def elems(self):
        return [c for c in self.children if isinstance(c, Elem)]

    @property
    def text(self):
        return "".join(c for c in self.children if isinstance(c, str))

    def find(self, name, ns=None):
        """The first child of that name (and namespace), or None."""
        for child in self.elems():
            if child.name == name and ns in (None, child.ns):
                return child
        return None

    def get(self, attr, default=None):
        return self.attrs.get(attr, default)

    def render(self, outer=NS_CLIENT):
        name = self.name
        declared = ""
        if self.ns == NS_STREAM:
            name = "stream:" + name
            inner = outer
        else:
            inner = self.ns
            if self.ns != outer:
                declared = f" xmlns={quote(self.ns)}"
        attrs = "".join(render_attr(k, v) for k, v in self.attrs.items())
        if not self.children:
            return f"<{name}{declared}{attrs}/>"
        content = "".join(c.render(inner) if isinstance(c, Elem)
                          else escape(c) for c in self.children)
        return f"<{name}{declared}{attrs}>{content}</{name}>"

    __str__ = __repr__ = render


def escape(text):
    return (text.replace("&", "&amp;").replace("<", "&lt;")
            .replace(">", "&gt;"))


def quote(value):
    return "'" + escape(value).replace("'", "&apos;") + "'"


def render_attr(name, value):
    if " " in name:
        ns, local = name.split(" ", 1)
        return f" ns:{local}={quote(value)} xmlns:ns={quote(ns)}"
    return f" {name}={quote(value)}"


class StreamParser:
    """Bytes in; ("open", Elem), ("elem", Elem), ("close",) out, through
    `on_event`."""

    def __init__(self, on_event):
        self.on_event = on_event
        self.stack = []
        self.texts = []
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.chars
        self.has_declaration = False
        self.parser.XmlDeclHandler = self.declaration

    def feed(self, data):
        try:
            self.parser.Parse(data, False)
        except expat.ExpatError as error:
            raise BadXml(f"{error}: {data!r}") from error

    def declaration(self, version, encoding, standalone):
        self.has_declaration = True

    def start(self, name, attrs):
        ns, _, local = name.rpartition(" ")
        attrs = {fold_attr(k): v for k, v in attrs.items()}
        elem = Elem(ns, local, attrs)
        if not self.stack:
            self.on_event(("open", elem))
        elif len(self.stack) > 1:
            self.stack[-1].children.append(elem)
        self.stack.append(elem)

    def end(self, _name):
        elem = self.stack.pop()
        if not self.stack:
            self.on_event(("close",))
        elif len(self.stack) == 1:
            self.on_event(("elem", elem))

    def chars(self, text):
        if len(self.stack) < 2:
            return
        children = self.stack[-1].children
        if children and isinstance(children[-1], str):
            children[-1] += text
        else:
            children.append(text)


def fold_attr(name):
    if name.startswith(NS_XML + " "):
        return "xml:" + name[len(NS_XML) + 1:]
    return name


def parse_all(text):
    """The elements of a fragment, as a client's stream would hold them."""
    elems = []

    def on_event(event):
        if event[0] == "elem":
            elems.append(event[1])

    parser = StreamParser(on_event)
    parser.feed(HEADER.encode())
    parser.feed(text.encode())
    parser.feed(b"</stream:stream>")
    return elems


def parse_one(text):
    elems = parse_all(text)
    if len(elems) != 1:
        raise BadXml(f"one element was expected: {text}")
    return elems[0]
