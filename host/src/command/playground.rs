//! `playground`: the page that shows a stream, and a live stream for it.
//!
//! Each page that asks has a temporary slot of its own, which is gone with it: nobody else's slot
//! is moved, and nothing is kept for pages that are closed.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::{ArgMatches, Args};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use pgoutput_decoder_host::recording::{Recorder, Sink};
use pgoutput_decoder_host::{Config, CreateSlot, Stream};
use rand::RngExt;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

use super::connection::Connection;
use super::failure::Failure;
use super::signals::Signals;
use super::terminal::{self, Style};

/// What `playground` is told.
#[derive(Args)]
#[command(
    about = "Serves the page that shows recordings and live streams, to this machine's browser",
    after_help = "Without --publication the page shows recordings that are dropped on it. With\n\
        one, each page that is open has a temporary slot of its own, and shows what is committed\n\
        from then on. Nothing of a recording leaves the page."
)]
pub(crate) struct Arguments {
    /// Publication to show live; may be repeated
    #[arg(long, value_name = "NAME")]
    publication: Vec<String>,
    /// The page as `npm run build` leaves it [default: playground beside this program, or
    /// playground/dist here]
    #[arg(long, value_name = "FOLDER")]
    page: Option<PathBuf>,
    /// Where it listens
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// Its port [default: one that is free]
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    listen_port: u16,
    #[command(flatten)]
    connection: Connection,
}

/// Serves until interrupted.
pub(crate) async fn run(arguments: Arguments, given: &ArgMatches) -> Result<(), Failure> {
    let mut config = arguments.connection.config(given)?;
    for publication in &arguments.publication {
        config = config.publication(publication);
    }
    let files = page(arguments.page.as_deref())?;
    let listener = TcpListener::bind((arguments.listen, arguments.listen_port)).await?;
    let address = listener.local_addr()?;
    let token = format!("{:032x}", rand::rng().random::<u128>());
    let site = Arc::new(Site {
        files,
        address,
        token,
        config: (!arguments.publication.is_empty()).then_some(config),
        streams: Arc::new(Semaphore::new(STREAMS_MAX)),
    });
    if !arguments.listen.is_loopback() {
        terminal::warn("other machines can reach the page: who has its address sees the changes");
    }
    let style = Style::of(&io::stdout());
    let url = match &site.config {
        Some(_) => format!("http://{address}/#token={}", site.token),
        None => format!("http://{address}/"),
    };
    writeln!(io::stdout().lock(), "{}  {url}", style.bold("playground"))?;
    let mut signals = Signals::new()?;
    tokio::select! {
        () = signals.next() => Ok(()),
        failed = serve(&listener, &site) => Err(failed.into()),
    }
}

/// Takes connections; why it cannot any more.
async fn serve(listener: &TcpListener, site: &Arc<Site>) -> io::Error {
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => return error,
        };
        let site = Arc::clone(site);
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let site = Arc::clone(&site);
                async move { Ok::<_, Infallible>(site.answer(&request).await) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            // A page that was closed is no failure.
            let _ = http.serve_connection(TokioIo::new(socket), answer).await;
        });
    }
}

/// What is served.
struct Site {
    files: BTreeMap<String, Bytes>,
    address: SocketAddr,
    token: String,
    /// Of the live stream, where there is one.
    config: Option<Config>,
    streams: Arc<Semaphore>,
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

impl Site {
    async fn answer(&self, request: &Request<Incoming>) -> Answer {
        // A name that somebody made lead here is not ours: the page of another site may have it.
        let host = request.headers().get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
        let port = self.address.port();
        let ours = [self.address.to_string(), format!("localhost:{port}")];
        if self.address.ip().is_loopback() && !ours.iter().any(|name| name == host) {
            return text(
                StatusCode::FORBIDDEN,
                "not the address this page is served at",
            );
        }
        if request.method() != Method::GET {
            return text(StatusCode::METHOD_NOT_ALLOWED, "GET is all there is");
        }
        let path = request.uri().path().trim_start_matches('/');
        match (path, &self.config) {
            ("live", None) => text(
                StatusCode::NOT_FOUND,
                "no live stream: start the playground with --publication",
            ),
            ("live", Some(config)) => self.live(request.uri().query(), config).await,
            (path, _) => self.file(if path.is_empty() { "index.html" } else { path }),
        }
    }

    fn file(&self, path: &str) -> Answer {
        let Some(content) = self.files.get(path) else {
            return text(StatusCode::NOT_FOUND, "no such file");
        };
        let ending = path.rsplit('.').next().unwrap_or_default();
        let kind = KINDS.iter().find(|(known, _)| *known == ending);
        let kind = kind.map_or("application/octet-stream", |(_, kind)| kind);
        response(StatusCode::OK, kind, Full::new(content.clone()).boxed())
    }

    async fn live(&self, query: Option<&str>, config: &Config) -> Answer {
        let token = query.and_then(|query| query.strip_prefix("token="));
        if token != Some(self.token.as_str()) {
            return text(
                StatusCode::FORBIDDEN,
                "the token is another: open the address that was shown",
            );
        }
        let Ok(permit) = Arc::clone(&self.streams).try_acquire_owned() else {
            return text(StatusCode::TOO_MANY_REQUESTS, "too many pages are open");
        };
        let (page, events) = mpsc::channel(WAITING_MAX);
        let slot = format!("pgoutput_playground_{:08x}", rand::rng().random::<u32>());
        let config = config
            .clone()
            .slot(&slot)
            .create_slot(CreateSlot::Temporary)
            .application_name("pgoutput-decoder playground");
        let (stream, recorder) = match connect(config, &page).await {
            Ok(connected) => connected,
            Err(failure) => {
                warn(&failure);
                // Said to a page, it is final: asking again would not help.
                return text(StatusCode::FAILED_DEPENDENCY, failure.to_string());
            }
        };
        tokio::spawn(async move {
            if let Err(failure) = pass_on(stream, &recorder, &page).await {
                warn(&failure);
            }
            drop(permit);
        });
        let events = BodyExt::boxed(Events(events));
        response(StatusCode::OK, "text/event-stream", events)
    }
}

fn warn(failure: &Failure) {
    terminal::warn(&format!("a live stream ended: {failure}"));
}

async fn connect(
    config: Config,
    page: &mpsc::Sender<Bytes>,
) -> Result<(Stream, Recorder), Failure> {
    let sink = ToPage {
        bytes: Vec::new(),
        page: page.clone(),
    };
    let recorder = Recorder::to("the page", sink)?;
    let stream = config.recorder(recorder.clone()).connect().await?;
    Ok((stream, recorder))
}

/// Has a page get the stream until it is closed.
async fn pass_on(
    mut stream: Stream,
    recorder: &Recorder,
    page: &mpsc::Sender<Bytes>,
) -> Result<(), Failure> {
    let acknowledger = stream.acknowledger();
    let mut alive = tokio::time::interval(ALIVE);
    let result = loop {
        let batch = tokio::select! {
            () = page.closed() => break Ok(()),
            _ = alive.tick() => {
                // So that a page that is gone is noticed; frames without events come with it.
                let _ = page.try_send(Bytes::from_static(b": alive\n\n"));
                if let Err(error) = recorder.sync() {
                    break Err(error.into());
                }
                continue;
            }
            batch = stream.next_batch() => batch,
        };
        let batch = match batch {
            Ok(Some(batch)) => batch,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error.into()),
        };
        if let Err(error) = recorder.sync() {
            break Err(error.into());
        }
        let last = batch.len().checked_sub(1);
        if let Some(last) = last.and_then(|last| batch.event(last)) {
            acknowledger.acknowledge(last.position())?;
        }
    };
    // The slot goes with the connection.
    stream.stop().await?;
    if page.is_closed() { Ok(()) } else { result }
}

/// A recording's bytes as server-sent events.
struct ToPage {
    bytes: Vec<u8>,
    page: mpsc::Sender<Bytes>,
}

impl Write for ToPage {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for ToPage {
    fn sync(&mut self) -> io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let text = format!("data: {}\n\n", STANDARD.encode(&self.bytes));
        self.bytes.clear();
        let slow = |_| io::Error::other("the page does not keep up, or is gone");
        self.page.try_send(text.into()).map_err(slow)
    }
}

/// The body of an answer that goes on.
struct Events(mpsc::Receiver<Bytes>);

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(context)
            .map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}

/// The page's files by their paths.
fn page(folder: Option<&Path>) -> Result<BTreeMap<String, Bytes>, Failure> {
    let beside = std::env::current_exe().ok();
    let beside = beside.as_deref().and_then(Path::parent);
    let folders = match folder {
        Some(folder) => vec![folder.to_owned()],
        None => beside
            .map(|beside| beside.join("playground"))
            .into_iter()
            .chain([PathBuf::from("playground/dist")])
            .collect(),
    };
    let found = folders
        .iter()
        .find(|folder| folder.join("index.html").is_file());
    let Some(folder) = found else {
        let shown: Vec<_> = folders
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        return Err(Failure::Page {
            folders: shown.join(", "),
        });
    };
    let mut files = BTreeMap::new();
    add_files(folder, "", &mut files).map_err(|source| Failure::Read {
        path: folder.clone(),
        source,
    })?;
    Ok(files)
}

fn add_files(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Bytes>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            add_files(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.insert(name, std::fs::read(entry.path())?.into());
        }
    }
    Ok(())
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    response(status, "text/plain", Full::new(text.into()).boxed())
}

fn response(status: StatusCode, kind: &str, body: BoxBody<Bytes, Infallible>) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let kind = header::HeaderValue::from_str(kind);
    headers.insert(
        header::CONTENT_TYPE,
        kind.unwrap_or(header::HeaderValue::from_static("text/plain")),
    );
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    response
}

const KINDS: [(&str, &str); 7] = [
    ("css", "text/css; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("wasm", "application/wasm"),
];

/// Pages that may have a live stream at a time: each takes a slot of the server's.
const STREAMS_MAX: usize = 4;

/// Pieces that wait for a page: one that is slower begins anew.
const WAITING_MAX: usize = 1024;

/// How often a page hears from us.
const ALIVE: Duration = Duration::from_secs(2);
