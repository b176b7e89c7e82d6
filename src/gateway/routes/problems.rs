//! The pages of the problem catalogue.

use axum::{extract::Path, response::Response};
use http::HeaderMap;

use crate::gateway::problem::{self, Code, Entry, Problem};

/// Read the catalogue of problems.
///
/// Every code that an answer can carry, and every rule that documents and manifests can break. A page, or JSON for those who accept it.
#[utoipa::path(
    get,
    path = "/problems/",
    tag = "platform",
    operation_id = "listProblems",
    responses((status = 200, description = "The catalogue.", content(
        (Vec<Entry> = "application/json"),
        (String = "text/html"),
    ))),
)]
pub async fn list(headers: HeaderMap) -> Response {
    problem::catalogue_page(&headers)
}

/// Read what a problem means.
///
/// The page that a problem's `type` leads to.
#[utoipa::path(
    get,
    path = "/problems/{code}",
    tag = "platform",
    operation_id = "getProblem",
    params(("code" = String, Path, description = "A code of the catalogue.", max_length = 128)),
    responses((status = 200, description = "The code's page.", content(
        (Entry = "application/json"),
        (String = "text/html"),
    ))),
    extensions(("x-problems" = json!(["problem_not_found"]))),
)]
pub async fn get(Path(code): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let entry = Entry::find(&code).ok_or_else(|| Problem::new(Code::ProblemNotFound))?;
    Ok(problem::problem_page(entry, &headers))
}
