//! What ends a command early, and how it is told.

use std::error::Error as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use pgoutput_decoder_host::Error;
use pgoutput_decoder_host::capture::CaptureError;
use pgoutput_decoder_host::engine::EngineError;
use pgoutput_decoder_host::recording::{RecordingError, ReplayError};
use pgoutput_decoder_host::records::RecordError;
use tokio_postgres::error::SqlState;

use super::terminal::{self, Style};

/// Why a command does not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error("{doing}: {}", server_text(.source))]
    Database {
        doing: &'static str,
        source: tokio_postgres::Error,
    },
    #[error("{missing} of {expected} committed changes had not arrived after {waited_s} seconds")]
    Missing {
        missing: u64,
        expected: u64,
        waited_s: u64,
    },
    #[error("there is no message {number}: the recording has {messages}")]
    NoMessage { number: u64, messages: u64 },
    #[error("nothing was dropped")]
    Declined,
    #[error("what arrived is not what was committed: {difference}")]
    Mismatch { difference: String },
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("{}: {expected}", path.display())]
    Options { path: PathBuf, expected: String },
    #[error(transparent)]
    Output(#[from] io::Error),
    #[error("no page in {folders}")]
    Page { folders: String },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error(transparent)]
    Records(#[from] RecordError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Stream(#[from] Error),
    /// There is no stream, for want of something that the doctor looks at, perhaps among others.
    #[error(transparent)]
    Start(Error),
    #[error("nobody can be asked whether to drop {what}: --yes does it")]
    Unconfirmed { what: String },
    #[error("{0}")]
    Usage(clap::Error),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl Failure {
    /// Tells it on stderr, and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Self::Usage(error) => error.exit(),
            // The reader of our output has seen enough, as `head` does.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            failure => {
                let style = Style::of(&io::stderr());
                let text = failure.text();
                let mut stderr = io::stderr().lock();
                // Where stderr is gone too, nobody is left to be told.
                let _ = writeln!(stderr, "{}: {text}", style.red("error"));
                if let Some(hint) = failure.hint().filter(|hint| !text.contains(hint.as_str())) {
                    let _ = writeln!(stderr, "{}: {hint}", style.bold("hint"));
                }
                if matches!(failure, Self::Start(_)) {
                    let doctor = "pgoutput-decoder doctor, with the same server, --slot and \
                                  --publication, looks at all that a stream needs";
                    let _ = writeln!(stderr, "{}: {doctor}", style.bold("hint"));
                }
                ExitCode::FAILURE
            }
        }
    }

    /// The failure and its causes, each said once.
    fn text(&self) -> String {
        let mut text = self.to_string();
        let mut cause = match self {
            // Said already, in the server's words.
            Self::Database { source, .. } if source.as_db_error().is_some() => None,
            _ => self.source(),
        };
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = error.source();
        }
        terminal::printable(&text).into_owned()
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Database { source, .. } => database_hint(source),
            Self::Missing { .. } | Self::Mismatch { .. } => {
                Some("this must not happen: please report it with the output above".to_owned())
            }
            Self::Replay(ReplayError::Decode { .. }) => Some(
                "the events of the messages before it were written, those of the rest were not; \
                 if the capture is as the server sent it, please report the message's type, \
                 offset and text above"
                    .to_owned(),
            ),
            Self::Stream(Error::Decoding(_)) => Some(
                "nothing behind that LSN was acknowledged: the server keeps it; please report the \
                 message's type, offset and text above"
                    .to_owned(),
            ),
            Self::Page { .. } => {
                Some("make playground builds it; --page says where it is".to_owned())
            }
            Self::Start(error) | Self::Stream(error) => error.hint(),
            _ => None,
        }
    }
}

/// The server's own words, which tokio-postgres leaves out.
fn server_text(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(server) => format!("{} (SQLSTATE {})", server.message(), server.code().code()),
        None => error.to_string(),
    }
}

/// The server's hint, or what helps where it has none.
fn database_hint(error: &tokio_postgres::Error) -> Option<String> {
    let server = error.as_db_error()?;
    let ours = match *server.code() {
        SqlState::INSUFFICIENT_PRIVILEGE => {
            "the demo needs a role that may create schemas in this database and has the \
             REPLICATION attribute"
        }
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE => {
            "if it is about wal_level: ALTER SYSTEM SET wal_level = logical; then restart the \
             server"
        }
        SqlState::OBJECT_IN_USE => "another demo seems to be running on this server",
        _ => return server.hint().map(str::to_owned),
    };
    Some(server.hint().unwrap_or(ours).to_owned())
}
