use std::os::unix::fs::PermissionsExt;

use super::*;

/// A component with nothing in it, and the same with a section of its own.
const NOTHING: &[u8] = b"\0asm\x0d\0\x01\0";
const NAMED: &[u8] = b"\0asm\x0d\0\x01\0\0\x02\x01n";
/// A component that exports an empty module as "a".
const EXPORTS: &[u8] = b"\0asm\x0d\0\x01\0\x01\x08\0asm\x01\0\0\0\x0b\x08\x01\0\x01a\0\x11\0\0";

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name: u64 = rand::rng().random();
        Self(std::env::temp_dir().join(format!("image-test-{name:x}")))
    }

    fn folder(&self) -> Folder {
        Folder::open(self.0.clone()).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn exports(component: &Component) -> usize {
    let engine = component.engine();
    component.component_type().exports(engine).count()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn an_image_is_kept_for_its_user_alone() {
    let scratch = Scratch::new();
    let engine = Engine::default();
    scratch.folder().component(&engine, EXPORTS).unwrap();
    let files = scratch.files();
    assert_eq!(files.len(), 1);
    assert_eq!((mode(&scratch.0), mode(&files[0])), (0o700, 0o600));
}

#[test]
fn what_is_loaded_is_the_image() {
    let scratch = Scratch::new();
    let (folder, engine) = (scratch.folder(), Engine::default());
    assert_eq!(exports(&folder.component(&engine, EXPORTS).unwrap()), 1);
    let exporting = scratch.files().remove(0);
    let other = scratch.0.join(name(&engine, NOTHING));
    fs::rename(exporting, other).unwrap();
    assert_eq!(exports(&folder.component(&engine, NOTHING).unwrap()), 1);
}

#[test]
fn each_component_and_each_engine_has_an_image_of_its_own() {
    let scratch = Scratch::new();
    let (folder, engine) = (scratch.folder(), Engine::default());
    folder.component(&engine, NOTHING).unwrap();
    folder.component(&engine, NAMED).unwrap();
    assert_eq!(scratch.files().len(), 2);
    let mut interrupted = wasmtime::Config::new();
    interrupted.epoch_interruption(true);
    let engine = Engine::new(&interrupted).unwrap();
    folder.component(&engine, NOTHING).unwrap();
    assert_eq!(scratch.files().len(), 3);
}

#[test]
fn a_damaged_image_is_made_again() {
    let scratch = Scratch::new();
    let (folder, engine) = (scratch.folder(), Engine::default());
    folder.component(&engine, EXPORTS).unwrap();
    let path = scratch.files().remove(0);
    let sound = fs::read(&path).unwrap();
    let mut flipped = sound.clone();
    flipped[sound.len() / 2] ^= 1;
    for damaged in [&flipped[..], &sound[..sound.len() - 1], &sound[..10], b""] {
        fs::write(&path, damaged).unwrap();
        assert_eq!(exports(&folder.component(&engine, EXPORTS).unwrap()), 1);
        assert_eq!(fs::read(&path).unwrap(), sound);
        assert_eq!(scratch.files().len(), 1);
    }
}

#[test]
fn a_folder_that_others_can_write_or_is_a_link_is_left_alone() {
    let scratch = Scratch::new();
    scratch.folder();
    let link = scratch.0.join("link");
    std::os::unix::fs::symlink(&scratch.0, &link).unwrap();
    assert!(Folder::open(link).is_none());
    fs::set_permissions(&scratch.0, PermissionsExt::from_mode(0o770)).unwrap();
    assert!(Folder::open(scratch.0.clone()).is_none());
}

#[test]
fn a_component_is_compiled_where_its_image_cannot_be_kept() {
    let scratch = Scratch::new();
    let (folder, engine) = (scratch.folder(), Engine::default());
    let path = scratch.0.join(name(&engine, EXPORTS));
    // Neither read as a file nor written over.
    fs::create_dir_all(path.join("taken")).unwrap();
    assert_eq!(exports(&folder.component(&engine, EXPORTS).unwrap()), 1);
    assert_eq!(scratch.files(), [path]);
}

#[test]
fn images_of_long_ago_go_when_another_is_kept() {
    let scratch = Scratch::new();
    let (folder, engine) = (scratch.folder(), Engine::default());
    folder.component(&engine, NOTHING).unwrap();
    let path = scratch.files().remove(0);
    let file = fs::File::options().write(true).open(&path).unwrap();
    let made = file.metadata().unwrap().modified().unwrap();
    file.set_modified(made - KEPT * 2).unwrap();
    folder.component(&engine, EXPORTS).unwrap();
    assert!(!path.exists());
    assert_eq!(scratch.files().len(), 1);
}
