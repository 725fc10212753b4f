//! Which address answers what.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::access::{Access, Admission, HEADERS};
use super::api::refusal;
use super::{ALIVE_WITHIN, Board, Reading, Shows, api, page};
use crate::net::clock;

/// The text format of Prometheus.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";
/// Who shows a wrong token waits so long for the answer.
const WRONG_TOKEN_WAITS: Duration = Duration::from_secs(1);
/// Most bytes of the form.
const FORM: usize = 4096;
/// Most checks that a reader unfolds.
const UNFOLDED: usize = 100;
/// Most bytes of a file of evidence that is shown.
const EVIDENCE: u64 = 8 << 20;

pub(super) fn router(board: Board, shows: Shows) -> Router {
    let mut router = Router::new().route("/healthz", get(healthz));
    if shows.figures {
        router = router.route("/metrics", get(metrics));
    }
    let router = router.with_state(board.clone());
    let Some(Reading { token, folder }) = shows.page else { return router };
    let access = Arc::new(Access::new(token));
    let folder = Arc::new(folder);
    let evidence = Router::new().route("/evidence/{call_id}/{file}", get(evidence)).with_state(folder);
    let guarded = Router::new()
        .route("/", get(shown))
        .merge(api::routes())
        .with_state(board)
        .merge(evidence)
        .layer(from_fn_with_state(Arc::clone(&access), guard));
    // Those who may not read yet see how to.
    let login = post(login).layer(DefaultBodyLimit::max(FORM)).with_state(access);
    let open = Router::new()
        .route("/login", login)
        .route("/assets/page.js", get(|| asset("text/javascript; charset=utf-8", include_str!("page/page.js"))))
        .route("/assets/icon.svg", get(|| asset("image/svg+xml", include_str!("page/icon.svg"))));
    router.merge(guarded.merge(open).layer(map_response(with_headers)))
}

/// Headers of every answer of the page; what the answer itself says stays.
async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS.iter() {
        response.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    response
}

async fn guard(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let now = clock::timestamp();
    match access.admit(request.uri(), request.headers(), now) {
        Admission::Granted => next.run(request).await,
        // The token is in no address that the browser keeps.
        Admission::Exchange(cookie) => moved(request.uri().path(), &cookie),
        Admission::Misdirected => refusal(
            StatusCode::MISDIRECTED_REQUEST,
            "this page is for this machine: ask for 127.0.0.1 or localhost, or give it a token (page: { token: … })",
        ),
        admission => {
            let wrong = admission == Admission::WrongToken;
            if wrong {
                tokio::time::sleep(WRONG_TOKEN_WAITS).await;
            }
            let wants = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
            not_admitted(wrong, wants.is_some_and(|types| types.contains("text/html")))
        }
    }
}

fn not_admitted(wrong: bool, html: bool) -> Response {
    let mut response = match html {
        true => (StatusCode::UNAUTHORIZED, [(header::CONTENT_TYPE, HTML)], page::login(wrong)).into_response(),
        false => {
            refusal(StatusCode::UNAUTHORIZED, if wrong { "this is not the token" } else { "the token is asked for" })
        }
    };
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"ringfleet\""));
    response
}

/// To the same page without the token in its address.
fn moved(path: &str, cookie: &str) -> Response {
    // `//host` would lead elsewhere.
    let path = format!("/{}", path.trim_start_matches('/'));
    (StatusCode::SEE_OTHER, [(header::LOCATION, path.as_str()), (header::SET_COOKIE, cookie)]).into_response()
}

async fn login(State(access): State<Arc<Access>>, body: Bytes) -> Response {
    match access.login(&body, clock::timestamp()) {
        Some(cookie) => moved("/", &cookie),
        None => {
            tokio::time::sleep(WRONG_TOKEN_WAITS).await;
            not_admitted(true, true)
        }
    }
}

async fn healthz(State(board): State<Board>) -> impl IntoResponse {
    let silent = board.silent_for();
    if silent <= ALIVE_WITHIN {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("the watch stands still, for {} s\n", silent.as_secs()))
    }
}

async fn metrics(State(board): State<Board>) -> impl IntoResponse {
    let text = board.lock().figures.to_string();
    ([(header::CONTENT_TYPE, METRICS)], text)
}

async fn shown(State(board): State<Board>, uri: Uri) -> impl IntoResponse {
    let query = form_urlencoded::parse(uri.query().unwrap_or("").as_bytes());
    let unfolded: Vec<String> =
        query.filter(|(name, _)| name == "unfold").map(|(_, check)| check.into_owned()).take(UNFOLDED).collect();
    let published = board.published();
    let silent = Some(board.silent_for()).filter(|silent| *silent > ALIVE_WITHIN);
    let text = if silent.is_none() && unfolded.is_empty() {
        published.page.get_or_init(|| page::render(&published.view, None, &[])).clone()
    } else {
        page::render(&published.view, silent, &unfolded)
    };
    ([(header::CONTENT_TYPE, HTML)], text)
}

async fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    // They change with the program only; a browser asks again after a while.
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=60")], text)
}

/// A file of evidence of a call, as it lies in the folder of the watch: secrets are taken out before it is written.
async fn evidence(State(folder): State<Arc<PathBuf>>, Path((call_id, file)): Path<(String, String)>) -> Response {
    if !is_name(&call_id) || !is_name(&file) {
        return refusal(StatusCode::NOT_FOUND, "this is not the name of a file of evidence");
    }
    let path = folder.join("evidence").join(call_id).join(&file);
    let read = fs::metadata(&path).and_then(|found| match found.len() {
        0..=EVIDENCE if found.is_file() => fs::read(&path),
        _ => Err(io::ErrorKind::FileTooLarge.into()),
    });
    let kind = if file.ends_with(".json") { "application/json" } else { PLAIN };
    match read {
        Ok(bytes) => ([(header::CONTENT_TYPE, kind)], bytes).into_response(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => refusal(
            StatusCode::NOT_FOUND,
            "there is no such file of evidence: none was kept, or it made room for later ones",
        ),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &format!("it cannot be read: {error}")),
    }
}

/// Whether it is one plain name, as ours are: no folder, nothing hidden.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !text.is_empty() && !text.starts_with('.') && text.bytes().all(plain)
}
