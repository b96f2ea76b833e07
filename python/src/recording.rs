//! A recorded stream in a server's place.

use std::path::Path;

use pgoutput_decoder_host::Plugin;
use pgoutput_decoder_host::capture::{Capture, CaptureError, Catalog, CatalogAt, Replay};
use pgoutput_decoder_host::engine::Engine;
use pyo3::PyResult;

use crate::error;

/// What a recording is replayed with.
pub(crate) struct Recording {
    capture: Capture,
    catalog: Catalog,
    engine: Engine,
    pub(crate) plugins: Vec<Plugin>,
    /// The format of its events, not Debezium's.
    pub(crate) native: bool,
}

impl Recording {
    /// Reads the recording, and its catalog: of its own, from `catalog`, or from `catalog.json`
    /// beside it.
    pub(crate) fn open(path: &Path, catalog: Option<&Path>, engine: Engine) -> PyResult<Self> {
        let capture = Capture::open(path).map_err(error::recording)?;
        let catalog = match catalog {
            Some(catalog) => Catalog::open(catalog),
            None => match Catalog::of_capture(path) {
                Err(CaptureError::Stages { .. }) => Catalog::open(&path.with_file_name(BESIDE)),
                own => own,
            },
        };
        Ok(Self {
            capture,
            catalog: catalog.map_err(error::recording)?,
            engine,
            plugins: Vec::new(),
            native: false,
        })
    }

    pub(crate) fn replay(&mut self) -> Replay<'_> {
        Replay::new(
            &mut self.engine,
            &self.capture,
            &self.catalog,
            CatalogAt::Stream,
        )
    }
}

const BESIDE: &str = "catalog.json";
