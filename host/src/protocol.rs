//! What pgoutput is asked for: the highest protocol version the server has, and what was wished
//! for besides.

use std::str::FromStr;

use crate::error::Error;

/// How transactions come that outgrow the server's `logical_decoding_work_mem` before they are
/// committed. Events are the same, and come after the commit, whatever is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streaming {
    /// After their commit: the server keeps them on its own disk meanwhile.
    Off,
    /// While they are open: they are kept here, in memory and then in a file. PostgreSQL 14.
    On,
    /// The same; the server adds to an abort when and where it was. PostgreSQL 16.
    Parallel,
}

/// Which changes are sent, by where they come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// All.
    Any,
    /// Those made on the server itself, not replicated to it. PostgreSQL 16.
    None,
}

/// What was wished for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wishes {
    /// `None`: on, where the server has it.
    pub(crate) streaming: Option<Streaming>,
    pub(crate) binary: bool,
    pub(crate) two_phase: bool,
    pub(crate) origin: Origin,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            streaming: None,
            binary: false,
            two_phase: false,
            origin: Origin::Any,
        }
    }
}

impl Wishes {
    /// Options of `START_REPLICATION` for a server of this major version, 0 where it is not known.
    pub(crate) fn options(self, server: u32) -> Result<Vec<(&'static str, &'static str)>, Error> {
        let since = |setting: &str, wish: &str, version: u32| since(setting, wish, version, server);
        let version = match server {
            16.. => "4",
            15 => "3",
            14 => "2",
            _ => "1",
        };
        let mut options = vec![("proto_version", version)];
        if server >= 14 {
            options.push(("messages", "true"));
        }
        match self.streaming {
            // What parallel adds is of no use here.
            None if server >= 14 => options.push(("streaming", "on")),
            None | Some(Streaming::Off) => {}
            Some(Streaming::On) => {
                since("streaming", "on", 14)?;
                options.push(("streaming", "on"));
            }
            Some(Streaming::Parallel) => {
                since("streaming", "parallel", 16)?;
                options.push(("streaming", "parallel"));
            }
        }
        if self.binary {
            since("binary", "it", 14)?;
            options.push(("binary", "true"));
        }
        if self.two_phase {
            since("two_phase", "it", 15)?;
            options.push(("two_phase", "true"));
        }
        if self.origin == Origin::None {
            since("origin", "none", 16)?;
            options.push(("origin", "none"));
        }
        Ok(options)
    }
}

/// Refuses a wish that needs a later major version than the server's, 0 where that is not known.
pub(crate) fn since(setting: &str, wish: &str, version: u32, server: u32) -> Result<(), Error> {
    if server >= version {
        return Ok(());
    }
    let found = match server {
        0 => "of an unknown version".to_owned(),
        major => format!("PostgreSQL {major}"),
    };
    let reason = format!("{wish} needs PostgreSQL {version}, the server is {found}");
    Err(Error::configuration(setting, reason))
}

impl FromStr for Streaming {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "off" => Ok(Self::Off),
            "on" => Ok(Self::On),
            "parallel" => Ok(Self::Parallel),
            _ => {
                let reason = "expected \"off\", \"on\" or \"parallel\"";
                Err(Error::configuration("streaming", reason))
            }
        }
    }
}

impl FromStr for Origin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "any" => Ok(Self::Any),
            "none" => Ok(Self::None),
            _ => {
                let reason = "expected \"any\" or \"none\"";
                Err(Error::configuration("origin", reason))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(wishes: Wishes, server: u32) -> String {
        let options = wishes.options(server).unwrap();
        let options: Vec<_> = options
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        options.join(" ")
    }

    #[test]
    fn by_default_as_much_is_asked_for_as_the_server_has() {
        for (server, expected) in [
            (0, "proto_version=1"),
            (13, "proto_version=1"),
            (14, "proto_version=2 messages=true streaming=on"),
            (15, "proto_version=3 messages=true streaming=on"),
            (16, "proto_version=4 messages=true streaming=on"),
            (19, "proto_version=4 messages=true streaming=on"),
        ] {
            assert_eq!(text(Wishes::default(), server), expected, "{server}");
        }
        let off = Wishes {
            streaming: Some(Streaming::Off),
            ..Wishes::default()
        };
        assert_eq!(text(off, 13), "proto_version=1");
        assert_eq!(text(off, 18), "proto_version=4 messages=true");
    }

    #[test]
    fn a_wish_is_met_or_refused_with_the_version_it_needs() {
        let none = Wishes::default();
        let on = Some(Streaming::On);
        let parallel = Some(Streaming::Parallel);
        for (setting, since, asked, wishes) in [
            (
                "streaming",
                14,
                "streaming=on",
                Wishes {
                    streaming: on,
                    ..none
                },
            ),
            (
                "streaming",
                16,
                "streaming=parallel",
                Wishes {
                    streaming: parallel,
                    ..none
                },
            ),
            (
                "binary",
                14,
                "binary=true",
                Wishes {
                    binary: true,
                    ..none
                },
            ),
            (
                "two_phase",
                15,
                "two_phase=true",
                Wishes {
                    two_phase: true,
                    ..none
                },
            ),
            (
                "origin",
                16,
                "origin=none",
                Wishes {
                    origin: Origin::None,
                    ..none
                },
            ),
        ] {
            assert!(text(wishes, since).ends_with(asked), "{asked}");
            let error = wishes.options(since - 1).unwrap_err().to_string();
            let versions = format!("needs PostgreSQL {since}, the server is PostgreSQL");
            assert!(
                error.starts_with(setting) && error.contains(&versions),
                "{error}"
            );
            assert!(wishes.options(0).is_err());
        }
    }

    #[test]
    fn words_are_those_of_postgresql() {
        assert_eq!(
            "parallel".parse::<Streaming>().unwrap(),
            Streaming::Parallel
        );
        assert_eq!("none".parse::<Origin>().unwrap(), Origin::None);
        let error = "true".parse::<Streaming>().unwrap_err();
        assert!(matches!(&error, Error::Configuration { setting, .. } if setting == "streaming"));
        assert!("some".parse::<Origin>().is_err());
    }
}
