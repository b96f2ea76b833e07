//! What the tests share: the cases in `vectors/`, and the comparison with Debezium's own output.

mod cases;
mod comparison;
mod deviations;
mod mask;
mod number;

pub use self::cases::{Case, Recorded, cases, folder};
pub use self::comparison::{Comparison, compare, parse_lines};
pub use self::deviations::{Allowed, Deviation, matches};
