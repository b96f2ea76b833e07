//! What a run of the chaos rig leaves behind, and what must hold of it: plain files and a function
//! of them. The rig itself is the test `chaos`.

pub mod checker;
pub mod history;
