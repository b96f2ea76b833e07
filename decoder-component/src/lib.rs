#![cfg(target_family = "wasm")]
//! The component.
