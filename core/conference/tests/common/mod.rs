//! The real program on a free port of loopback, and a client that speaks protoo to it.
#![allow(dead_code)] // Each test file uses its own part.

use std::{
    collections::VecDeque,
    pin::Pin,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
    time::timeout,
};
use tokio_openssl::SslStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, client::IntoClientRequest, http::HeaderValue, protocol::CloseFrame},
};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running conference; killed when dropped.
pub struct Program {
    child: Child,
    /// Kept open: the program may write to it.
    _stdout: BufReader<ChildStdout>,
    pub port: u16,
    pub data: TempDir,
}

impl Program {
    pub async fn start() -> Self {
        Self::start_with(&["--workers", "1"]).await
    }

    pub async fn start_with(options: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let mut child = command()
            .args(["--listen", "127.0.0.1:0", "--announce", "127.0.0.1", "--data-dir"])
            .arg(data.path())
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let port = loop {
            let mut line = String::new();
            let read =
                timeout(PATIENCE, stdout.read_line(&mut line)).await.expect("the program speaks").expect("readable");
            assert_ne!(read, 0, "the program ended");
            if let Some(rest) = line.trim().strip_prefix("https://127.0.0.1:") {
                break rest.trim_end_matches('/').parse().expect("a port");
            }
        };
        Self { child, _stdout: stdout, port, data }
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("running")
    }

    /// The worker processes.
    pub fn workers(&self) -> Vec<u32> {
        let mut found = Vec::new();
        for task in std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("proc").flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        found
    }

    pub async fn signal(&self, name: &str, pid: u32) {
        let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status().await.expect("kill runs");
        assert!(status.success());
    }

    pub async fn ended(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.expect("the program ends").expect("waited")
    }

    /// A TLS connection that trusts anybody.
    pub async fn connect(&self) -> SslStream<TcpStream> {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).expect("TLS");
        connector.set_verify(SslVerifyMode::NONE);
        let ssl =
            connector.build().configure().expect("TLS").verify_hostname(false).into_ssl("localhost").expect("TLS");
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("listening");
        let mut stream = SslStream::new(ssl, stream).expect("TLS");
        Pin::new(&mut stream).connect().await.expect("a handshake");
        stream
    }

    /// One HTTP exchange: status line and headers, then the body.
    pub async fn get(&self, path: &str) -> (String, String) {
        let mut stream = self.connect().await;
        exchange(&mut stream, path).await
    }

    /// The same without TLS.
    pub async fn get_plain(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("listening");
        exchange(&mut stream, path).await
    }

    /// Connects to a room.
    pub async fn client(&self, room: &str, peer: &str) -> Client {
        self.client_with(room, peer, "undefined").await
    }

    /// The same with this value of `consumerReplicas`.
    pub async fn client_with(&self, room: &str, peer: &str, replicas: &str) -> Client {
        let path = format!("/?roomId={room}&peerId={peer}&consumerReplicas={replicas}");
        let mut client = Client::new(self.upgrade(&path, Some("protoo")).await.expect("accepted"));
        client.notification("mediasoup-version").await;
        client
    }

    /// Tries an upgrade to WebSocket.
    pub async fn upgrade(&self, path: &str, subprotocol: Option<&'static str>) -> Result<Socket, tungstenite::Error> {
        let mut request = format!("wss://127.0.0.1:{}{path}", self.port).into_client_request().expect("a request");
        if let Some(subprotocol) = subprotocol {
            request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(subprotocol));
        }
        client_async(request, self.connect().await).await.map(|(socket, _)| socket)
    }
}

/// The program, to be started by the test itself.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sfu-conference"));
    command.kill_on_drop(true);
    command
}

async fn exchange<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    stream: &mut S,
    path: &str,
) -> (String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: example.test:4443\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    // A TLS stream that is cut without a closing alert is as good an end as any.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("answered");
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("HTTP");
    (head.to_lowercase(), body.to_owned())
}

pub type Socket = WebSocketStream<SslStream<TcpStream>>;

/// A protoo client.
pub struct Client {
    socket: Socket,
    /// What came while something else was awaited.
    backlog: VecDeque<Value>,
    next_id: u32,
}

impl Client {
    pub fn new(socket: Socket) -> Self {
        Self { socket, backlog: VecDeque::new(), next_id: 0 }
    }

    pub async fn send_text(&mut self, text: &str) {
        self.send(tungstenite::Message::text(text)).await.expect("sent");
    }

    pub async fn send(&mut self, message: tungstenite::Message) -> Result<(), tungstenite::Error> {
        self.socket.send(message).await
    }

    /// Sends a request and awaits its response.
    pub async fn request(&mut self, method: &str, data: Value) -> Result<Value, (i64, String)> {
        self.next_id += 1;
        let id = self.next_id;
        self.send_text(&json!({"request": true, "id": id, "method": method, "data": data}).to_string()).await;
        let response = self.find(|message| message["response"] == true && message["id"] == id).await;
        if response["ok"] == true {
            Ok(response["data"].clone())
        } else {
            Err((
                response["errorCode"].as_i64().expect("a code"),
                response["errorReason"].as_str().expect("a reason").into(),
            ))
        }
    }

    /// Awaits a notification, and returns its data.
    pub async fn notification(&mut self, method: &str) -> Value {
        self.find(|message| message["notification"] == true && message["method"] == method).await["data"].clone()
    }

    /// Awaits a request of the server, and returns its id and data.
    pub async fn asked(&mut self, method: &str) -> (Value, Value) {
        let message = self.find(|message| message["request"] == true && message["method"] == method).await;
        (message["id"].clone(), message["data"].clone())
    }

    pub async fn answer(&mut self, id: Value, data: Value) {
        self.send_text(&json!({"response": true, "id": id, "ok": true, "data": data}).to_string()).await;
    }

    /// What has come so far without being awaited; a request makes sure that all that was sent before has come.
    pub async fn unexpected(&mut self) -> Vec<Value> {
        self.request("getRouterRtpCapabilities", json!({})).await.expect("capabilities");
        self.backlog.drain(..).collect()
    }

    /// Awaits the end of the connection.
    pub async fn closed(&mut self) -> Option<CloseFrame> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("the server closes") {
                Some(Ok(tungstenite::Message::Close(frame))) => return frame,
                Some(Ok(tungstenite::Message::Text(text))) => {
                    self.backlog.push_back(serde_json::from_str(&text).expect("JSON"));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    pub async fn leave(mut self) {
        self.socket.close(None).await.expect("closed");
    }

    async fn find(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(index) = self.backlog.iter().position(&wanted) {
            return self.backlog.remove(index).expect("there");
        }
        loop {
            let message = timeout(PATIENCE, self.socket.next())
                .await
                .expect("the server speaks")
                .expect("open")
                .expect("readable");
            let tungstenite::Message::Text(text) = message else { continue };
            let message: Value = serde_json::from_str(&text).expect("JSON");
            if wanted(&message) {
                return message;
            }
            self.backlog.push_back(message);
        }
    }
}
