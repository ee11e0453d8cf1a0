//! Wall clock in one place. Durations and deadlines use tokio's monotonic clock;
//! wall time only labels what people read.

use time::OffsetDateTime;

/// Now, in UTC.
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
