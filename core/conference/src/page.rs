//! The page: plain HTML, CSS and JavaScript, embedded.

use axum::{
    Json,
    http::{HeaderName, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// The page's own files are all that it may load; media and the WebSocket come from this very server.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; worker-src 'self'; \
     img-src 'self'; media-src 'self' blob: mediastream:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

struct File {
    path: &'static str,
    kind: &'static str,
    content: &'static str,
}

macro_rules! files {
    ($($path:literal, $kind:literal, $name:literal;)*) => {
        &[$(File { path: $path, kind: $kind, content: include_str!(concat!("page/", $name)) },)*]
    };
}

const FILES: &[File] = files! {
    "/", "text/html; charset=utf-8", "index.html";
    "/style.css", "text/css; charset=utf-8", "style.css";
    "/icon.svg", "image/svg+xml", "icon.svg";
    "/main.js", "text/javascript; charset=utf-8", "main.js";
    "/protoo.js", "text/javascript; charset=utf-8", "protoo.js";
    "/session.js", "text/javascript; charset=utf-8", "session.js";
    "/media.js", "text/javascript; charset=utf-8", "media.js";
    "/synthetic.js", "text/javascript; charset=utf-8", "synthetic.js";
    "/clock.js", "text/javascript; charset=utf-8", "clock.js";
    "/notices.js", "text/javascript; charset=utf-8", "notices.js";
    "/tiles.js", "text/javascript; charset=utf-8", "tiles.js";
    "/statistics.js", "text/javascript; charset=utf-8", "statistics.js";
    "/plots.js", "text/javascript; charset=utf-8", "plots.js";
    "/hooks.js", "text/javascript; charset=utf-8", "hooks.js";
};

/// Where the page learns at which addresses others can open it.
const REACHABLE: &str = "/reachable.json";

/// Answers a GET of one of the page's files, or of `reachable`, the page's own addresses, as `{"urls": [...]}`.
pub async fn serve(uri: Uri, reachable: &[String]) -> Response {
    if uri.path() == REACHABLE {
        return ([(header::CACHE_CONTROL, "no-cache")], Json(json!({ "urls": reachable }))).into_response();
    }
    let Some(file) = FILES.iter().find(|file| file.path == uri.path()) else {
        return (StatusCode::NOT_FOUND, "There is nothing at this address; the conference is at /.\n").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, file.kind),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("permissions-policy"), "camera=(self), microphone=(self)"),
        // The files belong to this build of the server.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, file.content).into_response()
}
