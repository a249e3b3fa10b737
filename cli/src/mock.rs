//! A host for tests that answers each request by a function and tells what was asked, bodies too. `stage` is the one
//! that answers from objects.

use http::{Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};

use crate::client::MockServer;

/// One request that a test answers.
pub struct Call {
    /// Method and path.
    pub line: String,
    /// What stands behind the question mark.
    pub query: String,
    /// The body; null without one.
    pub body: Value,
}

/// Answers every request by `answer` until the client is gone; the calls are the result.
pub async fn serve(mut server: MockServer, mut answer: impl FnMut(&Call) -> (u16, Value)) -> Vec<Call> {
    let mut calls = Vec::new();
    while let Some((request, respond)) = server.next_request().await {
        let call = read(request).await;
        let (code, body) = answer(&call);
        let status = StatusCode::from_u16(code).unwrap();
        let body = Body::from(serde_json::to_vec(&body).unwrap());
        respond.send_response(Response::builder().status(status).body(body).unwrap());
        calls.push(call);
    }
    calls
}

async fn read(request: Request<Body>) -> Call {
    let line = format!("{} {}", request.method(), request.uri().path());
    let query = request.uri().query().unwrap_or_default().to_owned();
    let bytes = request.into_body().collect_bytes().await.unwrap();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Call { line, query, body }
}

/// Methods and paths.
pub fn lines(calls: &[Call]) -> Vec<&str> {
    calls.iter().map(|call| call.line.as_str()).collect()
}

/// An answer that is an error of the API server.
pub fn failure(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": message, "details": {"name": "x"}});
    (code, status)
}
