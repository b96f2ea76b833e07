//! A password, known or asked for when it is needed.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::Secret;

/// A role's password: a text, or whoever is asked for it at every login. Never printed.
///
/// ```
/// use pgoutput_decoder_host::{Config, Password};
///
/// let fixed = Config::new("shop").password("secret");
/// let rotating = Config::new("shop").password(Password::ask(|| async {
///     std::fs::read_to_string("/run/secrets/token")
/// }));
/// ```
#[derive(Clone)]
pub struct Password(Source);

#[derive(Clone)]
enum Source {
    Text(Secret),
    Asked(Arc<dyn Fn() -> Answer + Send + Sync>),
}

/// What a callback gives in the end.
type Answer = Pin<Box<dyn Future<Output = Result<String, Cause>> + Send>>;

pub(crate) type Cause = Box<dyn StdError + Send + Sync>;

impl Password {
    /// Asks `callback` whenever the server wants a password, at every connect and reconnect anew:
    /// for credentials that expire. It has what is left of `connect_timeout`. An error of its own
    /// is the [source](std::error::Error::source) of the one the stream reports.
    pub fn ask<F, A, E>(callback: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Self(Source::Asked(Arc::new(move || {
            let answer = callback();
            Box::pin(async move { answer.await.map_err(Into::into) })
        })))
    }

    /// The password now.
    pub(crate) async fn get(&self) -> Result<Secret, Cause> {
        match &self.0 {
            Source::Text(text) => Ok(text.clone()),
            Source::Asked(callback) => callback().await.map(Secret),
        }
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self(Source::Text(Secret(text.to_owned())))
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(Source::Text(Secret(text)))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
