//! The pages under `/problems/`: what a code means, for whoever follows a problem's `type`.

use std::fmt::Write as _;

use axum::response::{Html, IntoResponse, Response};
use http::{HeaderMap, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::Code;
use crate::manifest::Rule;

/// One line of the catalogue: a problem, or a rule of documents.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Entry {
    /// The stable name.
    code: &'static str,
    /// The status that it is answered with; a rule of documents, which stands in a problem's `violations`, has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// What it is, in a few words.
    title: &'static str,
    /// When it is answered and what to do about it.
    when: &'static str,
    /// Of a rule of documents: what is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<&'static str>,
    /// Of a rule of documents: a part of one that is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    good: Option<&'static str>,
    /// Of a rule of documents: the same part, refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    bad: Option<&'static str>,
}

impl Entry {
    /// The entry of a code: that of a problem, or of a rule of documents.
    #[must_use]
    pub fn find(code: &str) -> Option<Self> {
        Code::find(code).map(Self::from).or_else(|| Rule::find(code).map(Self::from))
    }
}

impl From<Code> for Entry {
    fn from(code: Code) -> Self {
        Self {
            code: code.as_str(),
            status: Some(code.status().as_u16()),
            title: code.title(),
            when: code.when(),
            allowed: None,
            good: None,
            bad: None,
        }
    }
}

impl From<&Rule> for Entry {
    fn from(rule: &Rule) -> Self {
        let Rule { code, title, means, allowed, good, bad, .. } = *rule;
        Self {
            code,
            status: None,
            title,
            when: means,
            allowed: Some(allowed),
            good: Some(good),
            bad: Some(bad),
        }
    }
}

/// Whether the caller would rather have JSON than a page.
fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("json") && !accept.contains("text/html"))
}

/// The whole catalogue: problems, then the rules of documents.
pub fn catalogue_page(headers: &HeaderMap) -> Response {
    let problems: Vec<Entry> = Code::ALL.iter().copied().map(Entry::from).collect();
    let rules: Vec<Entry> = Rule::all().map(Entry::from).collect();
    if wants_json(headers) {
        return axum::Json([problems, rules].concat()).into_response();
    }
    let body = format!(
        "{}<h2>Rules of SDL documents and manifests</h2>\n\
         <p>These stand in the <code>violations</code> of a problem.\n{}",
        table(&problems, "when and what to do"),
        table(&rules, "when and why"),
    );
    page("Problems", &body)
}

fn table(entries: &[Entry], last: &str) -> String {
    let mut rows = String::new();
    for Entry { code, status, title, when, .. } in entries {
        let (title, when) = (escape(title), marked(when));
        let status = status.map_or_else(String::new, |status| status.to_string());
        // Writing to a string cannot fail.
        let _ = writeln!(
            rows,
            "<tr><td><a href=\"/problems/{code}\">{code}</a><td>{status}<td>{title}<td>{when}"
        );
    }
    format!("<table>\n<tr><th>code<th>status<th>title<th>{last}\n{rows}</table>\n")
}

/// One code's page.
pub fn problem_page(entry: Entry, headers: &HeaderMap) -> Response {
    if wants_json(headers) {
        return axum::Json(entry).into_response();
    }
    let status = entry.status.map_or_else(
        || "a rule of SDL documents and manifests".to_owned(),
        |status| format!("status {status}"),
    );
    let mut text =
        format!("<p>Code <code>{}</code>, {status}.\n<p>{}\n", entry.code, marked(entry.when));
    if let (Some(allowed), Some(good), Some(bad)) = (entry.allowed, entry.good, entry.bad) {
        let _ = write!(
            text,
            "<h2>Allowed</h2>\n<p>{}\n<h2>Refused</h2>\n<pre>{}</pre>\n<h2>Accepted</h2>\n\
             <pre>{}</pre>\n",
            marked(allowed),
            escape(bad),
            escape(good),
        );
    }
    text.push_str("<p><a href=\"/problems/\">All problems</a>\n");
    page(entry.title, &text)
}

fn page(title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title} – lessor</title>\n\
         <h1>{title}</h1>\n{body}</html>\n"
    );
    let policy = "default-src 'none'; frame-ancestors 'none'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(html)).into_response()
}

/// The text as HTML; what stands between backticks is code.
fn marked(text: &str) -> String {
    let mut html = String::new();
    for (place, part) in escape(text).split('`').enumerate() {
        if place % 2 == 1 {
            let _ = write!(html, "<code>{part}</code>");
        } else {
            html.push_str(part);
        }
    }
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
