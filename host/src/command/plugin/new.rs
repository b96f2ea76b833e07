//! `plugin new`: a plugin to start from.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::{Args, ValueEnum};

use crate::command::failure::Failure;

/// What `plugin new` is told.
#[derive(Args)]
#[command(
    about = "Writes a folder with a plugin to start from, which builds with one command",
    after_help = "What it needs to be built stands in the folder's README.md."
)]
pub(super) struct Arguments {
    /// What it is written in
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    language: Language,
    /// The plugin's name, and the folder's: small letters, digits and hyphens
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Language {
    Rust,
    Javascript,
    Python,
    C,
    Go,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let name = &arguments.name;
    let folder = Path::new(name);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Failure::Write { path, source }
    };
    // One that is there is somebody's work.
    fs::create_dir(folder).map_err(failed(folder))?;
    let files = arguments.language.files().iter().chain([&WIT]);
    for (path, text) in files {
        let path = folder.join(path.replace("NAME", name));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed(parent))?;
        }
        let text = text.replace("NAME", name);
        fs::write(&path, text).map_err(failed(&path))?;
    }
    writeln!(
        io::stdout(),
        "{name}/ is there; to build and try it:\n\n  cd {name}\n  make\n  pgoutput-decoder plugin \
         check {name}.wasm\n\n{name}/README.md says what make needs."
    )?;
    Ok(())
}

/// Where a file goes, and what is in it; NAME stands for the plugin's name in both.
type File = (&'static str, &'static str);

/// A file of a template; or one that an example has, too.
macro_rules! file {
    ($folder:literal, $path:literal) => {
        (
            $path,
            include_str!(concat!("../../../templates/", $folder, "/", $path)),
        )
    };
    (example $folder:literal, $path:literal) => {
        (
            $path,
            include_str!(concat!(
                "../../../../examples/plugins/",
                $folder,
                "/",
                $path
            )),
        )
    };
}

impl Language {
    fn files(self) -> &'static [File] {
        match self {
            Self::Rust => &[
                file!("rust", ".gitignore"),
                file!("rust", "Cargo.toml"),
                file!("rust", "Makefile"),
                file!("rust", "README.md"),
                file!("rust", "src/lib.rs"),
            ],
            Self::Javascript => &[
                file!("javascript", ".gitignore"),
                file!("javascript", "Makefile"),
                file!("javascript", "README.md"),
                file!("javascript", "NAME.js"),
                file!("javascript", "NAME.test.js"),
                file!("javascript", "package.json"),
                file!("javascript", "package-lock.json"),
            ],
            Self::Python => &[
                file!("python", ".gitignore"),
                file!("python", "Makefile"),
                file!("python", "README.md"),
                file!("python", "app.py"),
                file!("python", "pyproject.toml"),
                file!("python", "requirements.txt"),
                file!("python", "test_app.py"),
            ],
            Self::C => &[
                file!("c", ".gitignore"),
                file!("c", "Makefile"),
                file!("c", "README.md"),
                file!("c", "main.c"),
                file!(example "only-changes", "bindings/plugin.c"),
                file!(example "only-changes", "bindings/plugin.h"),
                file!(example "only-changes", "bindings/world.s"),
            ],
            Self::Go => &[
                file!("go", ".gitignore"),
                file!("go", "Makefile"),
                file!("go", "README.md"),
                file!("go", "go.mod"),
                file!("go", "main.go"),
                file!(example "summary", "plugin/abi.go"),
                file!(example "summary", "plugin/plugin.go"),
            ],
        }
    }
}

fn name(text: &str) -> Result<String, &'static str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
    if begins && text.chars().all(is_part) {
        Ok(text.to_owned())
    } else {
        Err("small letters, digits and hyphens are expected, a letter first")
    }
}

const WIT: File = (
    "wit/plugin.wit",
    include_str!("../../../../wit/plugin/plugin.wit"),
);
