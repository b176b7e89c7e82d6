//! The YAML document as a tree that keeps each scalar's own text and every node's place.
//!
//! Typed YAML readers decide too early what `0120`, `1.0` or `yes` mean; the reference decides by the field that the
//! scalar stands in, so the tree keeps the text and [`super::cursor`] decides. An alias is the same node once more, not
//! a copy, and the size that a document would have with its aliases expanded has a limit.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use crate::manifest::{Dialect, violation::Violations};

/// The most nodes that a document may have, aliases expanded.
const MAX_NODES: usize = 100_000;

/// The deepest nesting, aliases expanded.
const MAX_DEPTH: usize = 64;

/// A document.
pub(super) struct Tree {
    nodes: Vec<Node>,
    root: Option<usize>,
}

/// One value of the document.
pub(super) struct Node {
    pub(super) content: Content,
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters.
    pub(super) column: usize,
    /// Nodes from here on downwards, this one included.
    size: usize,
    depth: usize,
}

/// What a node is.
pub(super) enum Content {
    Scalar(Scalar),
    Sequence(Vec<usize>),
    Mapping(Vec<(usize, usize)>),
}

/// A scalar as it was written, its quotes and escapes resolved.
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) tag: ScalarTag,
}

/// What a scalar's explicit tag or its quotes say about its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScalarTag {
    /// Plain and untagged: the text decides.
    Implicit,
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
        let full = tag.map(|tag| format!("{}{}", tag.handle(), tag.suffix()));
        match full.as_deref().map(|tag| tag.strip_prefix("tag:yaml.org,2002:").unwrap_or(tag)) {
            None | Some("!") if style == ScalarStyle::Plain => Self::Implicit,
            None | Some("!" | "str") => Self::Str,
            Some("binary") => Self::Binary,
            Some("null") => Self::Null,
            Some("bool") => Self::Bool,
            Some("int") => Self::Int,
            Some("float") => Self::Float,
            Some(_) => Self::Foreign,
        }
    }
}

impl Tree {
    /// Reads the first document of `text`. What follows it Go does not look at, while npm wants nothing there; and npm
    /// wants no tags of one's own.
    pub(super) fn parse(text: &str, dialect: Dialect, violations: &mut Violations) -> Option<Self> {
        let options = granit_parser::options! {
            bom_inside_document_as_content: true,
            block_scalar_eof_without_line_feed: true,
            emit_comments: false,
            flow_nesting_limit: MAX_DEPTH,
            block_nesting_limit: MAX_DEPTH,
        };
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
        Some(Self { nodes: builder.nodes, root: builder.root })
    }

    /// The node of this number.
    pub(super) fn node(&self, id: usize) -> &Node {
        &self.nodes[id]
    }

    /// The outermost value, if the document has one.
    pub(super) fn root(&self) -> Option<&Node> {
        self.root.map(|id| self.node(id))
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

    fn child(&self, node: &Node, token: &str) -> Option<&Node> {
        let id = match &node.content {
            Content::Scalar(_) => return None,
            Content::Sequence(items) => *items.get(token.parse::<usize>().ok()?)?,
            Content::Mapping(members) => {
                let (_, value) =
                    members.iter().rev().find(|(key, _)| self.node(*key).text() == token)?;
                *value
            }
        };
        Some(self.node(id))
    }
}

impl Node {
    /// A scalar's text; empty for what is no scalar.
    pub(super) fn text(&self) -> &str {
        match &self.content {
            Content::Scalar(scalar) => &scalar.text,
            _ => "",
        }
    }
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
}

#[derive(Default)]
struct Builder {
    dialect: Dialect,
    nodes: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, usize>,
    root: Option<usize>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = ScalarTag::of(tag.as_deref(), style);
                let scalar = Scalar { text: text.into_owned(), tag };
                self.add(Content::Scalar(scalar), anchor, span)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq")?;
                self.open.push(Open { anchor, mapping: false, children: Vec::new(), span });
                Ok(())
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), "map")?;
                self.open.push(Open { anchor, mapping: true, children: Vec::new(), span });
                Ok(())
            }
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

    fn close(&mut self) -> Result<(), Fault> {
        let Some(Open { anchor, mapping, children, span }) = self.open.pop() else { return Ok(()) };
        let content = if mapping {
            Content::Mapping(children.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
        } else {
            Content::Sequence(children)
        };
        self.add(content, anchor, span)
    }

    fn add(&mut self, content: Content, anchor: usize, span: Span) -> Result<(), Fault> {
        let children: Vec<usize> = match &content {
            Content::Scalar(_) => Vec::new(),
            Content::Sequence(items) => items.clone(),
            Content::Mapping(members) => {
                members.iter().flat_map(|(key, value)| [*key, *value]).collect()
            }
        };
        let below = children.iter().map(|id| &self.nodes[*id]);
        let size = below.clone().fold(1_usize, |sum, node| sum.saturating_add(node.size));
        let depth = 1 + below.map(|node| node.depth).max().unwrap_or_default();
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
        match self.open.last_mut() {
            Some(parent) => parent.children.push(id),
            None => self.root = Some(id),
        }
    }

    fn check_size(&self, id: usize) -> Result<(), Fault> {
        let Node { size, depth, .. } = self.nodes[id];
        let pending: usize = self.open.iter().map(|open| open.children.len()).sum();
        if size > MAX_NODES || self.nodes.len() > MAX_NODES || pending > MAX_NODES {
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
