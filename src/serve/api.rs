//! `/api/v1/…`: the view as JSON.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::openapi;
use super::view::{Failure, Incident, Line, LineState};
use super::{Board, Published};

/// Starts that are told.
const UPCOMING: usize = 100;

/// Lines and agents now.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Lines<'a> {
    /// When all of this was so.
    at: Timestamp,
    /// The lines, in the order of the watch file.
    lines: Vec<&'a Line>,
}

/// Calls that failed.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Failures<'a> {
    /// When all of this was so.
    at: Timestamp,
    /// The calls, the latest first.
    failures: &'a [Arc<Failure>],
}

/// Incidents.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Incidents<'a> {
    /// When all of this was so.
    at: Timestamp,
    /// Open ones first, of each the latest first.
    incidents: &'a [Arc<Incident>],
}

/// One incident.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct IncidentAnswer<'a> {
    /// When all of this was so.
    at: Timestamp,
    /// The incident.
    incident: &'a Incident,
}

/// What is called next.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Upcoming<'a> {
    /// When all of this was so.
    at: Timestamp,
    /// The starts, the soonest first.
    upcoming: Vec<Start<'a>>,
}

/// A start to come.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Start<'a> {
    /// Name of the line.
    line: &'a str,
    /// Its check.
    check: &'a str,
    /// When it starts.
    start: Timestamp,
}

/// Why a request is not answered.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Refusal {
    /// In words.
    error: String,
}

pub(super) fn routes() -> Router<Board> {
    Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/lines", get(lines))
        .route("/api/v1/failures", get(failures))
        .route("/api/v1/incidents", get(incidents))
        .route("/api/v1/incidents/{id}", get(incident))
        .route("/api/v1/upcoming", get(upcoming))
        .route("/api/v1/openapi.json", get(document))
}

/// An answer in JSON.
fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let text = serde_json::to_vec(value).expect("a view is plain data");
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// Why a request is not answered.
pub(super) fn refusal(status: StatusCode, error: &str) -> Response {
    json(status, &Refusal { error: error.to_owned() })
}

async fn status(State(board): State<Board>) -> Response {
    json(StatusCode::OK, &board.published().view.status)
}

async fn lines(State(board): State<Board>, uri: Uri) -> Response {
    let mut query = form_urlencoded::parse(uri.query().unwrap_or("").as_bytes());
    let wanted = match query.find(|(name, _)| name == "state").map(|(_, state)| state) {
        None => None,
        Some(state) => match LineState::from_name(&state) {
            Some(state) => Some(state),
            None => {
                let error = format!("there is no state `{state}`: failing, interrupted, unknown or ok");
                return refusal(StatusCode::BAD_REQUEST, &error);
            }
        },
    };
    let Published { view, .. } = &*board.published();
    let lines = view.lines.iter().filter(|line| wanted.is_none_or(|state| line.state == state)).collect();
    json(StatusCode::OK, &Lines { at: view.status.at, lines })
}

async fn failures(State(board): State<Board>) -> Response {
    let Published { view, .. } = &*board.published();
    json(StatusCode::OK, &Failures { at: view.status.at, failures: &view.failures })
}

async fn incidents(State(board): State<Board>) -> Response {
    let Published { view, .. } = &*board.published();
    json(StatusCode::OK, &Incidents { at: view.status.at, incidents: &view.incidents })
}

async fn incident(State(board): State<Board>, Path(id): Path<String>) -> Response {
    let Published { view, .. } = &*board.published();
    match view.incidents.iter().find(|incident| incident.id == id) {
        Some(incident) => json(StatusCode::OK, &IncidentAnswer { at: view.status.at, incident }),
        None => refusal(StatusCode::NOT_FOUND, "there is no incident of this id, or no longer: see incidents.jsonl"),
    }
}

async fn upcoming(State(board): State<Board>) -> Response {
    let Published { view, .. } = &*board.published();
    let upcoming = view.upcoming(UPCOMING);
    let starts = upcoming.into_iter().map(|(line, start)| Start { line: &line.name, check: &line.check, start });
    json(StatusCode::OK, &Upcoming { at: view.status.at, upcoming: starts.collect() })
}

async fn document() -> impl IntoResponse {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| serde_json::to_string_pretty(&openapi::document()).expect("plain data"));
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str())
}
