//! The YAML document as a tree that keeps each scalar's own text and every node's place.
//!
//! Typed YAML readers decide too early what `0120`, `1.0` or `yes` mean; the reference decides by the field that the
//! scalar stands in, so the tree keeps the text and [`super::cursor`] decides. An alias is the same node once more, not
//! a copy, and the size that a document would have with its aliases expanded has a limit.

use std::{borrow::Cow, cell::RefCell, collections::HashMap};

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag, YamlVersion};

use crate::manifest::{Dialect, violation::Violations};

/// The most nodes that a document may have, aliases expanded.
const MAX_NODES: usize = 100_000;

/// The deepest nesting, aliases expanded.
const MAX_DEPTH: usize = 64;

/// A document; its scalars borrow from the text wherever they stand there as they are.
pub(super) struct Tree<'t> {
    nodes: Vec<Node<'t>>,
    root: Option<usize>,
    /// The ways that readers have taken, so that a pointer is written only for those who ask.
    steps: RefCell<Vec<Step>>,
}

/// One step down from a value.
#[derive(Clone, Copy)]
pub(super) struct Step {
    parent: Option<usize>,
    pub(super) token: Token,
}

/// What leads to a value from its parent.
#[derive(Clone, Copy)]
pub(super) enum Token {
    /// The node of the member's name.
    Key(usize),
    Index(usize),
}

/// One value of the document.
pub(super) struct Node<'t> {
    pub(super) content: Content<'t>,
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters.
    pub(super) column: usize,
    /// Nodes from here on downwards, this one included.
    size: usize,
    depth: usize,
}

/// What a node is.
pub(super) enum Content<'t> {
    Scalar(Scalar<'t>),
    Sequence(Vec<usize>),
    /// Names and values in turn.
    Mapping(Vec<usize>),
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
            None | Some(_) => Self::Foreign,
        }
    }
}

impl<'t> Tree<'t> {
    /// Reads the first document of `text`. What follows it Go does not look at, while npm wants nothing there; and npm
    /// wants no tags of one's own.
    pub(super) fn parse(
        text: &'t str,
        dialect: Dialect,
        violations: &mut Violations,
    ) -> Option<Self> {
        let options = granit_parser::options! {
            bom_inside_document_as_content: true,
            block_scalar_eof_without_line_feed: true,
            emit_comments: false,
            flow_nesting_limit: MAX_DEPTH,
            block_nesting_limit: MAX_DEPTH,
        };
        if let Some((code, line, message)) = refused_prologue(text, dialect) {
            violations.add(code, "", message).at(line, 1);
            return None;
        }
        let mut builder = Builder { dialect, ..Builder::default() };
        for event in Parser::new_from_str_with_options(text, options) {
            let taken = match event {
                Ok((Event::DocumentEnd, _)) if dialect == Dialect::Go => break,
                Ok((event, span)) => builder.take(event, span).map_err(|fault| (fault, span)),
                Err(error) => {
                    let message = format!("document is not YAML: {}", error.info());
                    let marker = error.marker();
                    violations.add("yaml-syntax", "", message).at(marker.line(), marker.col() + 1);
                    return None;
                }
            };
            if let Err((fault, span)) = taken {
                let (line, column) = (span.start.line(), span.start.col() + 1);
                violations.add(fault.code, "", fault.message).at(line, column);
                return None;
            }
        }
        Some(Self { nodes: builder.nodes, root: builder.root, steps: RefCell::default() })
    }

    /// The node of this number.
    pub(super) fn node(&self, id: usize) -> &Node<'t> {
        &self.nodes[id]
    }

    /// The outermost value, if the document has one.
    pub(super) fn root(&self) -> Option<&Node<'t>> {
        self.root.map(|id| self.node(id))
    }

    /// Remembers a step; gives its number.
    pub(super) fn step(&self, parent: Option<usize>, token: Token) -> usize {
        let mut steps = self.steps.borrow_mut();
        steps.push(Step { parent, token });
        steps.len() - 1
    }

    /// The last token of a way.
    pub(super) fn token(&self, step: usize) -> Option<Token> {
        self.steps.borrow().get(step).map(|step| step.token)
    }

    /// The tokens of a way, the last one first.
    pub(super) fn way(&self, step: Option<usize>) -> Vec<Token> {
        let steps = self.steps.borrow();
        let last = step.and_then(|step| steps.get(step));
        let up = |step: &&Step| step.parent.and_then(|parent| steps.get(parent));
        std::iter::successors(last, up).map(|step| step.token).collect()
    }

    /// Line and column of the value that `pointer` names, or of its nearest parent that exists.
    pub(super) fn locate(&self, pointer: &str) -> Option<(usize, usize)> {
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
            Content::Sequence(items) => *items.get(token.parse::<usize>().ok()?)?,
            Content::Mapping(members) => {
                let mut pairs = members.chunks_exact(2).rev();
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

/// What both references refuse before a document begins, and the parser takes: the end of nothing, and to Go a directive
/// that nobody knows.
fn refused_prologue(text: &str, dialect: Dialect) -> Option<(&'static str, usize, &'static str)> {
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        match line.as_bytes() {
            [b'.', b'.', b'.', ..] => {
                return Some(("yaml-documents", index + 1, "a document ends before it begins"));
            }
            [b'%', rest @ ..] => {
                let known = rest.starts_with(b"YAML") || rest.starts_with(b"TAG");
                if dialect == Dialect::Go && !known {
                    return Some(("yaml-syntax", index + 1, "this directive is not known"));
                }
            }
            [] | [b'#', ..] => {}
            _ => return None,
        }
    }
    None
}

/// Why a document that is YAML is not read.
struct Fault {
    code: &'static str,
    message: String,
}

/// A collection that has not ended yet.
struct Open {
    anchor: usize,
    mapping: bool,
    children: Vec<usize>,
    span: Span,
    /// Nodes from here on downwards so far, this one included.
    size: usize,
    depth: usize,
}

#[derive(Default)]
struct Builder<'t> {
    dialect: Dialect,
    nodes: Vec<Node<'t>>,
    open: Vec<Open>,
    anchors: HashMap<usize, usize>,
    root: Option<usize>,
    /// Children of collections that have not ended yet.
    pending: usize,
}

impl<'t> Builder<'t> {
    fn take(&mut self, event: Event<'t>, span: Span) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = ScalarTag::of(tag.as_deref(), style);
                self.add(Content::Scalar(Scalar { text, tag }), anchor, span, (1, 1))
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq")?;
                self.open(anchor, false, span);
                Ok(())
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), "map")?;
                self.open(anchor, true, span);
                Ok(())
            }
            Event::DocumentStart(_, Some(version)) if !self.reads(version) => Err(Fault {
                code: "yaml-syntax",
                message: "a %YAML directive stands here that is not 1.1".to_owned(),
            }),
            Event::DocumentStart(..) if self.root.is_some() => Err(Fault {
                code: "yaml-documents",
                message: "a second document begins; one is allowed".to_owned(),
            }),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(&id) => {
                    self.attach(id);
                    self.check_size(id)
                }
                None => Err(Fault {
                    code: "yaml-syntax",
                    message: "an anchor's value contains itself".to_owned(),
                }),
            },
            _ => Ok(()),
        }
    }

    /// Go reads documents that say they are of version 1.1, or nothing.
    fn reads(&self, version: YamlVersion) -> bool {
        self.dialect.is_npm() || (version.major, version.minor) == (1, 1)
    }

    /// A collection's tag says at most what the collection is.
    fn check_tag(&self, tag: Option<&Tag>, own: &str) -> Result<(), Fault> {
        let full = tag.map(|tag| format!("{}{}", tag.handle(), tag.suffix()));
        let known = full.as_deref().is_none_or(|tag| {
            tag == "!" || tag.strip_prefix("tag:yaml.org,2002:").is_some_and(|name| name == own)
        });
        if known || !self.dialect.is_npm() {
            return Ok(());
        }
        let message = "a tag stands here that no value of an SDL has".to_owned();
        Err(Fault { code: "yaml-tag", message })
    }

    fn open(&mut self, anchor: usize, mapping: bool, span: Span) {
        let children = Vec::with_capacity(8);
        self.open.push(Open { anchor, mapping, children, span, size: 1, depth: 1 });
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        self.pending -= open.children.len();
        let content = if open.mapping {
            Content::Mapping(open.children)
        } else {
            Content::Sequence(open.children)
        };
        self.add(content, open.anchor, open.span, (open.size, open.depth))
    }

    fn add(
        &mut self,
        content: Content<'t>,
        anchor: usize,
        span: Span,
        (size, depth): (usize, usize),
    ) -> Result<(), Fault> {
        let id = self.nodes.len();
        let (line, column) = (span.start.line(), span.start.col() + 1);
        self.nodes.push(Node { content, line, column, size, depth });
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        self.attach(id);
        self.check_size(id)
    }

    fn attach(&mut self, id: usize) {
        let Node { size, depth, .. } = self.nodes[id];
        match self.open.last_mut() {
            Some(parent) => {
                parent.children.push(id);
                parent.size = parent.size.saturating_add(size);
                parent.depth = parent.depth.max(depth + 1);
                self.pending += 1;
            }
            None => self.root = Some(id),
        }
    }

    fn check_size(&self, id: usize) -> Result<(), Fault> {
        let Node { size, depth, .. } = self.nodes[id];
        if size > MAX_NODES || self.nodes.len() > MAX_NODES || self.pending > MAX_NODES {
            return Err(Fault {
                code: "document-too-large",
                message: format!("document has more than {MAX_NODES} values, aliases expanded"),
            });
        }
        if depth > MAX_DEPTH {
            return Err(Fault {
                code: "document-too-deep",
                message: format!("document is nested more than {MAX_DEPTH} deep, aliases expanded"),
            });
        }
        Ok(())
    }
}
