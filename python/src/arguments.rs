//! What Python passes: checked, and in the host's words.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pgoutput_decoder_host::engine::{Engine, EngineKind};
use pgoutput_decoder_host::{
    Config, CreateSlot, Error, Lsn, OnUndecodable, Plugin, PluginLimits, Position,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyList, PyString, PyTuple};

use crate::error;
use crate::message::{Rendering, ReplicationMessage};
use crate::password::Callback;

/// The arguments about where to connect.
pub(crate) struct Named<'a, 'py> {
    pub(crate) host: Option<&'a str>,
    pub(crate) database: Option<&'a str>,
    pub(crate) port: Option<i128>,
    pub(crate) user: Option<&'a str>,
    pub(crate) others: Option<Bound<'py, PyDict>>,
}

impl Named<'_, '_> {
    /// They count before `dsn`, and that before the environment.
    pub(crate) fn config(&self, py: Python<'_>, dsn: Option<&str>) -> PyResult<Config> {
        let refused = |refused: Error| error::raise(py, &refused);
        let mut config = Config::parse(dsn.unwrap_or_default())
            .and_then(Config::environment)
            .map_err(refused)?;
        if let Some(host) = self.host {
            config = config.host(host);
        }
        if let Some(database) = self.database {
            config = config.database(database);
        }
        if let Some(port) = self.port {
            let port = u16::try_from(port)
                .map_err(|_| error::configuration("port", "expected a number from 1 to 65535"))?;
            config = config.port(port);
        }
        if let Some(user) = self.user {
            config = config.user(user);
        }
        for (name, value) in self.others.iter().flat_map(PyDictMethods::iter) {
            let name: String = name.extract()?;
            if !Config::is_parameter(&name) {
                return Err(PyTypeError::new_err(format!(
                    "LogicalReplicationReader: unexpected keyword argument {name:?}"
                )));
            }
            if let Ok(on) = value.cast::<PyBool>() {
                let value = if on.is_true() { "1" } else { "0" };
                config = config.parameter(&name, value).map_err(refused)?;
            } else if !value.is_none() {
                let value = value.str()?;
                config = config.parameter(&name, value.to_str()?).map_err(refused)?;
            }
        }
        Ok(config)
    }

    pub(crate) fn description(&self) -> String {
        let mut text = String::new();
        for (name, value) in [("host", self.host), ("database", self.database)] {
            if let Some(value) = value {
                text = format!("{text}, {name}={value:?}");
            }
        }
        if let Some(port) = self.port {
            text = format!("{text}, port={port}");
        }
        text
    }
}

/// A password, or whom to ask for it.
pub(crate) fn with_password(
    config: Config,
    password: Option<Bound<'_, PyAny>>,
) -> PyResult<(Config, Option<Arc<Callback>>)> {
    let Some(password) = password.filter(|password| !password.is_none()) else {
        return Ok((config, None));
    };
    if let Ok(text) = password.cast::<PyString>() {
        let text = text.to_str()?;
        // 0.1.0's way to say that there is none.
        if text.is_empty() {
            return Ok((config, None));
        }
        return Ok((config.password(text), None));
    }
    if !password.is_callable() {
        return Err(PyTypeError::new_err(
            "password: expected a str, or a callable that returns one",
        ));
    }
    let callback = Callback::new(password.unbind());
    Ok((config.password(callback.password()), Some(callback)))
}

/// A number from 1 on.
pub(crate) fn count(name: &str, value: i128) -> PyResult<usize> {
    let number = usize::try_from(value).ok().filter(|number| *number > 0);
    number.ok_or_else(|| PyValueError::new_err(format!("{name}: expected a number from 1 on")))
}

/// What `acknowledge` was given.
pub(crate) enum Acknowledged {
    Lsn(Lsn),
    Position(Position),
}

impl Acknowledged {
    pub(crate) fn extract(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(message) = value.cast::<ReplicationMessage>() {
            return Ok(Self::Position(message.get().event().position()));
        }
        if let Ok(text) = value.cast::<PyString>()
            && let Ok(text) = text.to_str()
            && text.contains(':')
        {
            let position = text.parse();
            return position
                .map(Self::Position)
                .map_err(|_| PyValueError::new_err("lsn: not a position like \"0/16B3748:7\""));
        }
        match parse_lsn(value) {
            Ok(lsn) => Ok(Self::Lsn(lsn)),
            Err(reason) if is_text_or_int(value) => {
                Err(PyValueError::new_err(format!("lsn: {reason}")))
            }
            Err(_) => Err(PyTypeError::new_err(
                "lsn: expected a str like \"0/16B3748\", an int, a ReplicationMessage or None",
            )),
        }
    }
}

/// What `start_position` is given: a position, or the message that has it.
pub(crate) fn position_of(value: &Bound<'_, PyAny>) -> PyResult<Position> {
    if let Ok(message) = value.cast::<ReplicationMessage>() {
        return Ok(message.get().event().position());
    }
    let text = value.cast::<PyString>().ok();
    let position = text.and_then(|text| text.to_str().ok()?.parse().ok());
    position.ok_or_else(|| {
        error::configuration(
            "start_position",
            "expected a message, or its position, a text like \"0/16B3748:7\"",
        )
    })
}

pub(crate) fn seconds(setting: &str, seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| error::configuration(setting, "expected a number of seconds from 0 on"))
}

/// The host's `X/X` form, or a number: 0.1.0 took the latter, as text.
pub(crate) fn parse_lsn(value: &Bound<'_, PyAny>) -> Result<Lsn, String> {
    const EXPECTED: &str = "expected a text like \"0/16B3748\", or a number from 0 to 2**64 - 1";
    if let Ok(text) = value.cast::<PyString>() {
        let text = text.to_str().map_err(|_| EXPECTED.to_owned())?;
        return match text.parse::<u64>() {
            Ok(number) => Ok(Lsn(number)),
            Err(_) => text
                .parse()
                .map_err(|_| format!("{EXPECTED}, not {text:?}")),
        };
    }
    if is_text_or_int(value) {
        return value.extract().map(Lsn).map_err(|_| EXPECTED.to_owned());
    }
    Err(EXPECTED.to_owned())
}

pub(crate) fn is_text_or_int(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyString>()
        || (value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>())
}

/// One str, or several in a list or tuple.
pub(crate) fn strings(value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(vec![text.to_str()?.to_owned()]);
    }
    value.extract().map_err(|_| {
        PyTypeError::new_err("publication_name: expected a str, or a list of str for several")
    })
}

/// Debezium's spelling, which has dots, or Python's, which has underscores in their place.
pub(crate) fn option_name(name: &Bound<'_, PyAny>) -> PyResult<String> {
    let name: String = name
        .extract()
        .map_err(|_| PyTypeError::new_err("options: names are expected to be str"))?;
    Ok(if name.contains('.') {
        name
    } else {
        name.replace('_', ".")
    })
}

/// Properties are text: `True` is `true`, and a list is its elements separated by commas.
pub(crate) fn option_value(value: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(boolean) = value.cast::<PyBool>() {
        return Ok(boolean.is_true().to_string());
    }
    if value.is_instance_of::<PyString>() || value.is_instance_of::<PyInt>() {
        return Ok(value.str()?.to_str()?.to_owned());
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let parts: Vec<String> = value
            .try_iter()?
            .map(|part| option_value(&part?))
            .collect::<PyResult<_>>()?;
        return Ok(parts.join(","));
    }
    Err(PyTypeError::new_err(
        "options: values are expected to be str, bool, int, or lists of these",
    ))
}

/// A path, or what `pgoutput_decoder.Plugin` says.
pub(crate) fn plugin(value: &Bound<'_, PyAny>) -> PyResult<Plugin> {
    let py = value.py();
    if let Ok(path) = value.extract::<PathBuf>() {
        return Plugin::open(path).map_err(|refused| error::raise(py, &refused));
    }
    let Ok(file) = value.getattr(intern!(py, "file")) else {
        return Err(PyTypeError::new_err(
            "plugins: expected paths, or objects of pgoutput_decoder.Plugin",
        ));
    };
    let plugin = match file.extract::<PathBuf>() {
        Ok(path) => Plugin::file(path),
        Err(_) => Plugin::bytes(file.extract::<Vec<u8>>()?),
    };
    let config: String = value.call_method0(intern!(py, "config_text"))?.extract()?;
    let policy: String = value.getattr(intern!(py, "on_error"))?.extract()?;
    let policy = OnUndecodable::parse("on_error", &policy);
    let policy = policy.map_err(|refused| error::raise(py, &refused))?;
    let mut plugin = plugin.config(&config).on_error(policy);
    if let Some(hash) = attribute::<String>(value, "sha256")? {
        plugin = plugin.sha256(&hash);
    }
    let known = PluginLimits::default();
    let time = |name: &str, known| match attribute(value, name)? {
        Some(time) => seconds(name, time),
        None => Ok(known),
    };
    Ok(plugin.limits(PluginLimits {
        memory_max_bytes: attribute(value, "memory_max_bytes")?.unwrap_or(known.memory_max_bytes),
        cpu_max: time("cpu_max", known.cpu_max)?,
        wall_max: time("wall_max", known.wall_max)?,
        fuel: attribute(value, "fuel")?,
        output_max_bytes: attribute(value, "output_max_bytes")?.unwrap_or(known.output_max_bytes),
        log_lines_max: attribute(value, "log_lines_max")?.unwrap_or(known.log_lines_max),
    }))
}

fn attribute<T: for<'a, 'py> FromPyObject<'a, 'py>>(
    value: &Bound<'_, PyAny>,
    name: &str,
) -> PyResult<Option<T>> {
    let found = value.getattr(name)?;
    match found.extract() {
        Ok(found) => Ok(found),
        Err(_) => Err(error::configuration(name, "not what is expected, nor None")),
    }
}

/// A bool, or "temporary".
pub(crate) fn parse_create_slot(create: &Bound<'_, PyAny>) -> PyResult<CreateSlot> {
    match create.extract::<bool>() {
        Ok(true) => Ok(CreateSlot::Yes),
        Ok(false) => Ok(CreateSlot::No),
        Err(_) if create.eq("temporary")? => Ok(CreateSlot::Temporary),
        Err(_) => Err(error::configuration(
            "create_slot",
            "expected True, \"temporary\" or False",
        )),
    }
}

/// How messages are decoded, without a connection.
pub(crate) struct Decoding {
    pub(crate) engine: Engine,
    /// Those of the engine.
    pub(crate) options: Vec<(String, String)>,
    pub(crate) rendering: Arc<Rendering>,
}

/// What events are decoded with, and turned into messages with, where there is no stream.
pub(crate) fn decoding(
    [format, decimal, temporal, uuid]: [&str; 4],
    options: Option<&Bound<'_, PyDict>>,
    database: &str,
) -> PyResult<Decoding> {
    let rendering = Rendering::parse(format, decimal, temporal, uuid)?;
    let mut settings = decoder_options(options)?;
    settings.push(("format".to_owned(), format.to_owned()));
    if !database.is_empty() {
        settings.push(("database.dbname".to_owned(), database.to_owned()));
    }
    let engine = Engine::open(EngineKind::Component, &settings);
    let engine = engine.map_err(|refused| error::engine(&refused))?;
    Ok(Decoding {
        engine,
        options: settings,
        rendering: Arc::new(rendering),
    })
}

/// Debezium's properties by name.
pub(crate) fn decoder_options(
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<Vec<(String, String)>> {
    let mut found = Vec::new();
    for (name, value) in options.into_iter().flat_map(PyDictMethods::iter) {
        let name = option_name(&name)?;
        if name == "format" {
            return Err(error::configuration(
                "options",
                "format is an argument of its own",
            ));
        }
        found.push((name, option_value(&value)?));
    }
    Ok(found)
}
