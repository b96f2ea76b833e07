//! What the tests share: the cases in `vectors/`, the comparison with Debezium's own output, and
//! servers of their own, and the histories of the chaos rig.

pub mod chaos;

mod cases;
mod comparison;
mod deviations;
mod guests;
mod mask;
mod number;
mod server;

pub use self::cases::{Case, Recorded, cases, folder};
pub use self::comparison::{Comparison, compare, parse_lines};
pub use self::deviations::{Allowed, Deviation, matches};
pub use self::guests::guest;
pub use self::server::Server;
