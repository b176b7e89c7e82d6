//! The pages under `/problems/`: what a code means, for whoever follows a problem's `type`.

use std::fmt::Write as _;

use axum::response::{Html, IntoResponse, Response};
use http::{HeaderMap, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::Code;

/// One line of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
pub struct Entry {
    /// The stable name.
    code: &'static str,
    /// The status that it is answered with.
    status: u16,
    /// What it is, in a few words.
    title: &'static str,
    /// When it is answered and what to do about it.
    when: &'static str,
}

impl From<Code> for Entry {
    fn from(code: Code) -> Self {
        Self {
            code: code.as_str(),
            status: code.status().as_u16(),
            title: code.title(),
            when: code.when(),
        }
    }
}

/// Whether the caller would rather have JSON than a page.
fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("json") && !accept.contains("text/html"))
}

/// The whole catalogue.
pub fn catalogue_page(headers: &HeaderMap) -> Response {
    let entries: Vec<Entry> = Code::ALL.iter().copied().map(Entry::from).collect();
    if wants_json(headers) {
        return axum::Json(entries).into_response();
    }
    let mut rows = String::new();
    for Entry { code, status, title, when } in &entries {
        let when = marked(when);
        // Writing to a string cannot fail.
        let _ = writeln!(
            rows,
            "<tr><td><a href=\"/problems/{code}\">{code}</a><td>{status}<td>{title}<td>{when}"
        );
    }
    let table = format!(
        "<table>\n<tr><th>code<th>status<th>title<th>when and what to do\n{rows}</table>\n"
    );
    page("Problems", &table)
}

/// One code's page.
pub fn problem_page(code: Code, headers: &HeaderMap) -> Response {
    let entry = Entry::from(code);
    if wants_json(headers) {
        return axum::Json(entry).into_response();
    }
    let text = format!(
        "<p>Code <code>{}</code>, status {}.\n<p>{}\n<p><a href=\"/problems/\">All problems</a>\n",
        entry.code,
        entry.status,
        marked(entry.when),
    );
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
