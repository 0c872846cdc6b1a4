//! Processor time, as Linux counts it: less disturbed by other work on the machine than rates are.

use std::time::Duration;

/// The kernel counts for programs in ticks of this length.
const TICK: Duration = Duration::from_millis(10);

/// Used so far, in user and kernel mode.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// By this process.
    pub own: Duration,
    /// By child processes that have ended.
    pub children: Duration,
}

/// Zero where there is no `/proc`.
pub fn used() -> Used {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in parentheses, may have blanks; `utime stime cutime cstime` are the 12th field after it
    // on.
    let fields: Vec<u32> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11)
        .flat_map(str::parse)
        .collect();
    let ticks = |at: usize| TICK * fields.get(at..at + 2).map_or(0, |pair| pair.iter().sum());
    Used {
        own: ticks(0),
        children: ticks(2),
    }
}
