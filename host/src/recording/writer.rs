//! Writes a recording, block by block.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use super::block::{self, write};
use super::{Head, MAGIC, Reader, RecordingError, Sink, VERSION, facts};
use crate::engine::Facts;

/// Writes a recording. What is written is never changed again; a block is written as a whole.
pub struct Writer<W> {
    out: W,
    compressor: zstd::bulk::Compressor<'static>,
    /// Those of the block that is not written yet.
    frames: Vec<u8>,
    /// When the first of them was received.
    received_us: i64,
}

impl<W: Write> Writer<W> {
    /// At the beginning of a file.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&[0; 2])?;
        Self::behind(out)
    }

    /// Behind the last block of a file.
    fn behind(out: W) -> io::Result<Self> {
        Ok(Self {
            out,
            compressor: zstd::bulk::Compressor::new(COMPRESSION)?,
            frames: Vec::new(),
            received_us: 0,
        })
    }

    /// A stream begins.
    ///
    /// # Errors
    /// Those of the file.
    pub fn head(&mut self, head: &Head, received_us: i64) -> io::Result<()> {
        let text = serde_json::to_vec(head)?;
        self.block(block::HEAD, &text, received_us)
    }

    /// The answer to a question about `relation`, before the frames that ask it.
    ///
    /// # Errors
    /// Those of the file.
    pub fn facts(&mut self, relation: u32, facts: &Facts, received_us: i64) -> io::Result<()> {
        let text = facts::write(relation, facts);
        self.block(block::FACTS, text.as_bytes(), received_us)
    }

    /// Whole frames. They are written with others, once there are enough of them, or with
    /// [`Writer::flush`].
    ///
    /// # Errors
    /// Those of the file.
    pub fn frames(&mut self, frames: &[u8], received_us: i64) -> io::Result<()> {
        if self.frames.len() + frames.len() > FRAMES_BYTES_MAX {
            self.flush()?;
        }
        if self.frames.is_empty() {
            self.received_us = received_us;
        }
        let mut rest = frames;
        while rest.len() > FRAMES_BYTES_MAX {
            let (block, behind) = rest.split_at(whole_frames(rest));
            write(
                &mut self.out,
                &mut self.compressor,
                block::FRAMES,
                block,
                received_us,
            )?;
            rest = behind;
        }
        self.frames.extend_from_slice(rest);
        Ok(())
    }

    /// Writes the frames that there are.
    ///
    /// # Errors
    /// Those of the file.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let (frames, received_us) = (&self.frames, self.received_us);
        write(
            &mut self.out,
            &mut self.compressor,
            block::FRAMES,
            frames,
            received_us,
        )?;
        self.frames.clear();
        Ok(())
    }

    /// Ends the recording, and gives back what it was written to.
    ///
    /// # Errors
    /// Those of the file.
    pub fn end(mut self, received_us: i64) -> io::Result<W> {
        self.flush()?;
        self.block(block::END, &[], received_us)?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// What it is written to; [`Writer::flush`] comes before it is looked at.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    fn block(&mut self, kind: u8, content: &[u8], received_us: i64) -> io::Result<()> {
        if kind == block::HEAD {
            self.flush()?;
        }
        write(
            &mut self.out,
            &mut self.compressor,
            kind,
            content,
            received_us,
        )
    }
}

impl<W: Sink + 'static> Writer<W> {
    /// For who does not care what it is written to.
    pub(super) fn boxed(self) -> Writer<Box<dyn Sink>> {
        Writer {
            out: Box::new(self.out),
            compressor: self.compressor,
            frames: self.frames,
            received_us: self.received_us,
        }
    }
}

impl Writer<File> {
    /// A new file, or behind what is whole of one that is there. The rest, which a recorder that
    /// was killed left, is cut off; how many bytes that were.
    ///
    /// # Errors
    /// A file that cannot be opened, or that is no recording.
    pub fn open(path: &Path) -> Result<(Self, u64), RecordingError> {
        let failed = |source| RecordingError::Write {
            path: path.to_owned(),
            source,
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        if bytes == 0 {
            return Ok((Self::new(file).map_err(failed)?, 0));
        }
        let mut reader = Reader::new(path, io::BufReader::new(&file))?;
        loop {
            match reader.next_block() {
                Ok(Some(_)) => {}
                Ok(None) | Err(RecordingError::Unended { .. } | RecordingError::Block { .. }) => {
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let sound = reader.offset();
        file.set_len(sound).map_err(failed)?;
        file.seek(SeekFrom::Start(sound)).map_err(failed)?;
        Ok((Self::behind(file).map_err(failed)?, bytes - sound))
    }
}

/// Bytes of the frames at the beginning that make a block: as many as fit, and at least one.
fn whole_frames(frames: &[u8]) -> usize {
    let mut bytes = 0;
    while let rest @ [_, ..] = frames.get(bytes..).unwrap_or_default() {
        let behind = bytes + crate::stash::frame_bytes(rest);
        if behind > FRAMES_BYTES_MAX && bytes > 0 {
            break;
        }
        bytes = behind;
    }
    bytes
}

/// What a call of the decoder is given at most: a block is one.
const FRAMES_BYTES_MAX: usize = 64 * 1024;

/// Its level: as fast as a server sends.
const COMPRESSION: i32 = 3;
