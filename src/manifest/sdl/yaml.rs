//! The YAML document as a tree that keeps each scalar's own text and every node's place.
//!
//! Typed YAML readers decide too early what `0120`, `1.0` or `yes` mean; the reference decides by the field that the
//! scalar stands in, so the tree keeps the text and [`super::cursor`] decides. An alias is the same node once more, not
//! a copy, and the size that a document would have with its aliases expanded has a limit.
//!
//! A text is parsed once for all who read it. The surprising fact: what one of them refuses may be a good document to
//! another, so that faults are kept apart and the tree is built as long as anyone can use it.

use std::{borrow::Cow, collections::HashSet};

use granit_parser::{
    ErrorKind, Event, Marker, Parser, ScalarStyle, Span, StructureStyle, Tag, YamlVersion,
};

use super::{js::JsValue, tabs};
use crate::manifest::{Dialect, Violation};

/// The most nodes that a document may have, aliases expanded: those of more than a thousand services.
pub(super) const MAX_NODES: usize = 50_000;

/// The most anchors that a document may have; the parser looks each of them up by its name.
const MAX_ANCHORS: usize = 10_000;

/// The deepest nesting, aliases expanded.
const MAX_DEPTH: usize = 64;

/// A node's number.
pub(super) type Id = u32;

/// A document; its scalars borrow from the text wherever they stand there as they are.
#[derive(Default)]
pub(super) struct Tree<'t> {
    nodes: Vec<Node<'t>>,
    /// The children of all collections, those of one in a row.
    children: Vec<Id>,
    root: Option<Id>,
}

/// One value of the document.
pub(super) struct Node<'t> {
    pub(super) content: Content<'t>,
    /// From 1.
    pub(super) line: u32,
    /// From 1, in characters.
    pub(super) column: u32,
    /// Nodes from here on downwards, this one included.
    size: u32,
    depth: u32,
}

/// What a node is.
pub(super) enum Content<'t> {
    Scalar(Scalar<'t>),
    Sequence(Children),
    /// Names and values in turn.
    Mapping(Children),
}

/// Where a collection's children stand among all.
#[derive(Clone, Copy)]
pub(super) struct Children {
    start: u32,
    end: u32,
}

/// A scalar as it was written, its quotes and escapes resolved.
pub(super) struct Scalar<'t> {
    pub(super) text: Cow<'t, str>,
    pub(super) tag: ScalarTag,
}

/// What a scalar's explicit tag or its quotes say about its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScalarTag {
    /// Plain and untagged: the text decides.
    Implicit,
    /// Plain with the tag `!`: text to npm, while to Go the text decides.
    NonSpecific,
    /// Quoted, a block, or `!!str`.
    Str,
    Binary,
    Null,
    Bool,
    Int,
    Float,
    /// A date, perhaps with a time.
    Timestamp,
    /// A tag that no field of an SDL has.
    Foreign,
}

impl ScalarTag {
    fn of(tag: Option<&Tag>, style: ScalarStyle) -> Self {
        if tag.is_none() {
            return if style == ScalarStyle::Plain { Self::Implicit } else { Self::Str };
        }
        let full = tag.map(|tag| format!("{}{}", tag.handle(), tag.suffix()));
        match full.as_deref().map(|tag| tag.strip_prefix("tag:yaml.org,2002:").unwrap_or(tag)) {
            Some("!") if style == ScalarStyle::Plain => Self::NonSpecific,
            Some("!" | "str") => Self::Str,
            Some("binary") => Self::Binary,
            Some("null") => Self::Null,
            Some("bool") => Self::Bool,
            Some("int") => Self::Int,
            Some("float") => Self::Float,
            Some("timestamp") => Self::Timestamp,
            None | Some(_) => Self::Foreign,
        }
    }
}

/// Who will read a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Readers {
    pub(super) go: bool,
    pub(super) npm: bool,
}

impl Readers {
    pub(super) const GO: Self = Self { go: true, npm: false };
    const NPM: Self = Self { go: false, npm: true };
    pub(super) const ALL: Self = Self { go: true, npm: true };

    pub(super) const fn of(dialect: Dialect) -> Self {
        if dialect.is_npm() { Self::NPM } else { Self::GO }
    }

    pub(super) const fn without(self, others: Self) -> Self {
        Self { go: self.go && !others.go, npm: self.npm && !others.npm }
    }
}

/// Why each of the readers gets no document, if it does not.
#[derive(Debug, Default)]
pub(super) struct Faults {
    go: Option<Violation>,
    npm: Option<Violation>,
}

impl Faults {
    pub(super) const fn of(&self, dialect: Dialect) -> Option<&Violation> {
        if dialect.is_npm() { self.npm.as_ref() } else { self.go.as_ref() }
    }

    /// Notes what keeps `readers` from reading.
    pub(super) fn add(&mut self, readers: Readers, fault: &Violation) {
        for (slot, reads) in [(&mut self.go, readers.go), (&mut self.npm, readers.npm)] {
            if reads && slot.is_none() {
                *slot = Some(fault.clone());
            }
        }
    }
}

/// How a text is scanned where libyaml and js-yaml agree and YAML 1.2 does not.
pub(super) fn options() -> granit_parser::Options {
    granit_parser::options! {
        bom_inside_document_as_content: true,
        block_scalar_eof_without_line_feed: true,
        emit_comments: false,
        emit_anchor_events: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    }
}

impl<'t> Tree<'t> {
    /// Reads the first document of `text` for `readers`. What follows it Go does not look at, while npm wants nothing
    /// there; and npm wants no tags of one's own.
    pub(super) fn parse(text: &'t str, readers: Readers) -> (Self, Faults) {
        let mut faults = Faults::default();
        let mut left = readers;
        let mut refuse = |left: &mut Readers, Fault { whose, code, message }, line, column| {
            let place = |number: usize| u32::try_from(number).ok();
            let (line, column) = (place(line), place(column));
            let fault = Violation { line, column, ..Violation::whole(code, message) };
            faults.add(Readers { go: left.go && whose.go, npm: left.npm && whose.npm }, &fault);
            *left = left.without(whose);
        };
        for (fault, line) in refused_prologue(text) {
            refuse(&mut left, fault, line, 1);
        }
        for tabs::Refused { whose, line, column } in tabs::refused(text) {
            let message = "a tab stands here where only spaces may indent";
            refuse(&mut left, Fault::new(whose, "yaml-syntax", message), line, column);
        }
        let mut builder = Builder::new(text);
        let mut parser = Parser::new_from_str_with_options(text, options());
        while left != Readers::default() {
            match parser.next() {
                None => break,
                Some(Ok((Event::DocumentEnd, _))) => left = left.without(Readers::GO),
                Some(Ok((event, span))) => {
                    if let Err(fault) = builder.take(event, span) {
                        refuse(&mut left, fault, span.start.line(), span.start.col() + 1);
                    }
                }
                Some(Err(error)) if ends_document(text, error.kind(), error.marker()) => {
                    left = left.without(Readers::GO);
                    let message = "a directive stands behind the document";
                    let fault = Fault::new(Readers::NPM, "yaml-documents", message);
                    refuse(&mut left, fault, error.marker().line(), error.marker().col() + 1);
                }
                Some(Err(error)) => {
                    let message = format!("document is not YAML: {}", error.info());
                    let fault = Fault { whose: Readers::ALL, code: "yaml-syntax", message };
                    refuse(&mut left, fault, error.marker().line(), error.marker().col() + 1);
                }
            }
        }
        (builder.tree, faults)
    }

    /// The node of this number.
    pub(super) fn node(&self, id: Id) -> &Node<'t> {
        &self.nodes[id as usize]
    }

    /// The outermost value, if the document has one.
    pub(super) fn root(&self) -> Option<&Node<'t>> {
        self.root.map(|id| self.node(id))
    }

    /// The items of a sequence, or the names and values of a mapping in turn.
    pub(super) fn children(&self, Children { start, end }: Children) -> &[Id] {
        &self.children[start as usize..end as usize]
    }

    /// Line and column of the value that `pointer` names, or of its nearest parent that exists.
    pub(super) fn locate(&self, pointer: &str) -> Option<(u32, u32)> {
        let mut node = self.root()?;
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let Some(child) = self.child(node, &token) else { break };
            node = child;
        }
        Some((node.line, node.column))
    }

    fn child(&self, node: &Node<'t>, token: &str) -> Option<&Node<'t>> {
        let id = match &node.content {
            Content::Scalar(_) => return None,
            Content::Sequence(items) => *self.children(*items).get(token.parse::<usize>().ok()?)?,
            Content::Mapping(members) => {
                let mut pairs = self.children(*members).chunks_exact(2).rev();
                pairs.find(|pair| self.node(pair[0]).text() == token)?[1]
            }
        };
        Some(self.node(id))
    }
}

impl Node<'_> {
    /// A scalar's text; empty for what is no scalar.
    pub(super) fn text(&self) -> &str {
        match &self.content {
            Content::Scalar(scalar) => &scalar.text,
            _ => "",
        }
    }
}

/// Why a document that is YAML is not read, and by whom.
struct Fault {
    whose: Readers,
    code: &'static str,
    message: String,
}

impl Fault {
    fn new(whose: Readers, code: &'static str, message: impl Into<String>) -> Self {
        Self { whose, code, message: message.into() }
    }
}

/// What is refused before a document begins, and the parser takes: the end of nothing, and to Go a directive that nobody
/// knows. Each with its line.
fn refused_prologue(text: &str) -> Vec<(Fault, usize)> {
    let mut refused = Vec::new();
    for (line, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        match text.as_bytes() {
            [b'.', b'.', b'.', ..] => {
                let message = "a document ends before it begins";
                refused.push((Fault::new(Readers::ALL, "yaml-documents", message), line));
                break;
            }
            [b'%', rest @ ..] => {
                if !rest.starts_with(b"YAML") && !rest.starts_with(b"TAG") {
                    let message = "this directive is not known";
                    refused.push((Fault::new(Readers::GO, "yaml-syntax", message), line));
                }
            }
            [] | [b'#', ..] => {}
            _ => break,
        }
    }
    refused
}

/// Whether what the parser refuses is a directive behind the first document, which ends it to Go.
fn ends_document(text: &str, kind: &ErrorKind, at: &Marker) -> bool {
    let rest = at.byte_offset().and_then(|at| text.get(at..)).unwrap_or_default();
    *kind == ErrorKind::MissingDocumentEndBeforeDirective
        && (rest.starts_with("%YAML") || rest.starts_with("%TAG"))
}

/// A collection that has not ended yet.
struct Open {
    anchor: usize,
    mapping: bool,
    /// What its tag says that it is beyond a list or a mapping.
    kind: Kind,
    /// Where its children begin among the pending ones.
    start: usize,
    span: Span,
    /// Nodes from here on downwards so far, this one included.
    size: u32,
    depth: u32,
}

/// How many bytes of text make a node, about.
const BYTES_OF_NODE: usize = 16;

struct Builder<'t> {
    text: &'t str,
    tree: Tree<'t>,
    open: Vec<Open>,
    /// Whether the next node is the key that a mapping without brackets begins with.
    first_key: bool,
    /// The node of each anchor, by the parser's number; none of those that have not ended.
    anchors: Vec<Option<Id>>,
    /// Children of collections that have not ended yet.
    pending: Vec<Id>,
}

impl<'t> Builder<'t> {
    fn new(text: &'t str) -> Self {
        let nodes = (text.len() / BYTES_OF_NODE).min(MAX_NODES);
        let tree = Tree {
            nodes: Vec::with_capacity(nodes),
            children: Vec::with_capacity(nodes),
            root: None,
        };
        let (open, pending) = (Vec::with_capacity(16), Vec::with_capacity(64));
        Self { text, tree, open, first_key: false, anchors: Vec::new(), pending }
    }

    fn take(&mut self, event: Event<'t>, span: Span) -> Result<(), Fault> {
        if let Event::Anchor(_, name) = &event {
            return check_anchor(name);
        }
        let first_key = std::mem::take(&mut self.first_key);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let has_properties = anchor != 0 || tag.is_some();
                let tag = ScalarTag::of(tag.as_deref(), style);
                let scalar = Scalar { text, tag };
                let fits = scalar.fits_tag();
                self.add(Content::Scalar(scalar), anchor, span, (1, 1))?;
                if fits { check_first(first_key && has_properties) } else { Err(tag_fault()) }
            }
            Event::SequenceStart(_, anchor, tag) => {
                let kind = Kind::of(tag.as_deref(), "seq");
                self.open(anchor, false, kind, span);
                check_first(first_key && (anchor != 0 || tag.is_some()))?;
                if kind == Kind::Foreign { Err(tag_fault()) } else { Ok(()) }
            }
            Event::MappingStart(style, anchor, tag) => {
                let kind = Kind::of(tag.as_deref(), "map");
                self.open(anchor, true, kind, span);
                let start = span.start.byte_offset().unwrap_or_default();
                let is_explicit = self.text.as_bytes().get(start) == Some(&b'?');
                self.first_key = style == StructureStyle::Block && !is_explicit;
                check_first(first_key && (anchor != 0 || tag.is_some()))?;
                if kind == Kind::Foreign { Err(tag_fault()) } else { Ok(()) }
            }
            // Go reads documents that say they are of version 1.1, or nothing.
            Event::DocumentStart(_, Some(YamlVersion { major, minor, .. }))
                if (major, minor) != (1, 1) && self.tree.root.is_none() =>
            {
                let message = "a %YAML directive stands here that is not 1.1";
                Err(Fault::new(Readers::GO, "yaml-syntax", message))
            }
            Event::DocumentStart(..) if self.tree.root.is_some() => {
                let message = "a second document begins; one is allowed";
                Err(Fault::new(Readers::ALL, "yaml-documents", message))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let Some(id) = self.anchors.get(anchor).copied().flatten() else {
                    let message = "an anchor's value contains itself";
                    return Err(Fault::new(Readers::ALL, "yaml-syntax", message));
                };
                self.attach(id);
                self.check_size(id)
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, anchor: usize, mapping: bool, kind: Kind, span: Span) {
        let start = self.pending.len();
        self.open.push(Open { anchor, mapping, kind, start, span, size: 1, depth: 1 });
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let start = number(self.tree.children.len());
        self.tree.children.extend(self.pending.drain(open.start..));
        let children = Children { start, end: number(self.tree.children.len()) };
        let content =
            if open.mapping { Content::Mapping(children) } else { Content::Sequence(children) };
        let fits = self.tree.is_of(open.kind, children);
        self.add(content, open.anchor, open.span, (open.size, open.depth))?;
        if fits { Ok(()) } else { Err(tag_fault()) }
    }

    fn add(
        &mut self,
        content: Content<'t>,
        anchor: usize,
        span: Span,
        (size, depth): (u32, u32),
    ) -> Result<(), Fault> {
        let id = number(self.tree.nodes.len());
        let (line, column) = (number(span.start.line()), number(span.start.col() + 1));
        self.tree.nodes.push(Node { content, line, column, size, depth });
        if anchor > MAX_ANCHORS {
            let message = format!("document has more than {MAX_ANCHORS} anchors");
            return Err(Fault::new(Readers::ALL, "document-too-large", message));
        }
        if anchor != 0 {
            if self.anchors.len() <= anchor {
                self.anchors.resize(anchor + 1, None);
            }
            self.anchors[anchor] = Some(id);
        }
        self.attach(id);
        self.check_size(id)
    }

    fn attach(&mut self, id: Id) {
        let Node { size, depth, .. } = *self.tree.node(id);
        match self.open.last_mut() {
            Some(parent) => {
                self.pending.push(id);
                parent.size = parent.size.saturating_add(size);
                parent.depth = parent.depth.max(depth + 1);
            }
            None => self.tree.root = Some(id),
        }
    }

    fn check_size(&self, id: Id) -> Result<(), Fault> {
        let Node { size, depth, .. } = *self.tree.node(id);
        if [size as usize, self.tree.nodes.len(), self.pending.len()]
            .iter()
            .any(|of| *of > MAX_NODES)
        {
            let message = format!("document has more than {MAX_NODES} values, aliases expanded");
            return Err(Fault::new(Readers::ALL, "document-too-large", message));
        }
        if depth as usize > MAX_DEPTH {
            let message =
                format!("document is nested more than {MAX_DEPTH} deep, aliases expanded");
            return Err(Fault::new(Readers::ALL, "document-too-deep", message));
        }
        Ok(())
    }
}

/// Numbers of nodes, lines and columns of a document whose length has a limit.
fn number(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// What npm's reader makes of a collection's tag; Go looks at none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What it is.
    Own,
    /// A mapping to nothing but null.
    Set,
    /// A list of mappings of one key each, all different.
    OrderedMapping,
    Foreign,
}

impl Kind {
    fn of(tag: Option<&Tag>, own: &str) -> Self {
        let Some(tag) = tag else { return Self::Own };
        let full = format!("{}{}", tag.handle(), tag.suffix());
        match (full.strip_prefix("tag:yaml.org,2002:"), own) {
            (Some("set"), "map") => Self::Set,
            (Some("omap"), "seq") => Self::OrderedMapping,
            (Some(name), own) if name == own => Self::Own,
            _ if full == "!" => Self::Own,
            _ => Self::Foreign,
        }
    }
}

impl Tree<'_> {
    /// Whether the children are those of such a collection.
    fn is_of(&self, kind: Kind, children: Children) -> bool {
        let children = self.children(children);
        match kind {
            Kind::Own | Kind::Foreign => true,
            Kind::Set => children.chunks_exact(2).all(|pair| self.node(pair[1]).is_null_to_js()),
            Kind::OrderedMapping => {
                let mut names = HashSet::new();
                children.iter().all(|id| match self.node(*id).content {
                    Content::Mapping(pair) if self.children(pair).len() == 2 => {
                        names.insert(self.node(self.children(pair)[0]).text())
                    }
                    _ => false,
                })
            }
        }
    }
}

impl Node<'_> {
    fn is_null_to_js(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if scalar.to_js() == Ok(JsValue::Null))
    }
}

impl Scalar<'_> {
    /// Whether the text is what its tag says to npm, which otherwise reads nothing at all.
    fn fits_tag(&self) -> bool {
        matches!(self.tag, ScalarTag::Implicit | ScalarTag::Str) || self.to_js().is_ok()
    }
}

fn tag_fault() -> Fault {
    Fault::new(Readers::NPM, "yaml-tag", "a tag stands here that this value does not have")
}

/// To Go an anchor's name has letters, digits, `_` and `-`.
fn check_anchor(name: &str) -> Result<(), Fault> {
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return Ok(());
    }
    let message = "an anchor's name has letters of ASCII, digits, '_' and '-'";
    Err(Fault::new(Readers::GO, "yaml-syntax", message))
}

/// To npm the key that begins a mapping without brackets has neither anchor nor tag: it takes them for the mapping's.
fn check_first(has_properties: bool) -> Result<(), Fault> {
    if !has_properties {
        return Ok(());
    }
    let message = "the first key of a mapping has an anchor or a tag";
    Err(Fault::new(Readers::NPM, "yaml-syntax", message))
}
