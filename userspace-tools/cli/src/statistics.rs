// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What ping counts and computes. No sockets, no clock, no printing.

use std::time::Duration;

/// Counts, and the moments of the round-trip times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Statistics {
    /// Requests sent.
    pub(crate) sent: u64,
    /// Responses of the entity.
    pub(crate) answered: u64,
    /// Of these, with other data than sent.
    pub(crate) corrupted: u64,
    least: u64,
    greatest: u64,
    sum: u128,
    sum_of_squares: u128,
}

/// Of round-trip times, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) min: u64,
    pub(crate) avg: u64,
    pub(crate) max: u64,
    /// The standard deviation, as ping defines mdev.
    pub(crate) mdev: u64,
}

impl Statistics {
    /// Counts a Response.
    pub(crate) fn answer(&mut self, time: Duration, intact: bool) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.least = if self.answered == 0 {
            time
        } else {
            self.least.min(time)
        };
        self.greatest = self.greatest.max(time);
        self.sum = self.sum.saturating_add(time.into());
        self.sum_of_squares = self
            .sum_of_squares
            .saturating_add(u128::from(time).saturating_mul(time.into()));
        self.answered += 1;
        self.corrupted += u64::from(!intact);
    }

    /// Of 100 Requests, how many had no Response.
    pub(crate) fn loss_percent(&self) -> f64 {
        if self.sent == 0 {
            return 0.0;
        }
        self.sent.saturating_sub(self.answered) as f64 * 100.0 / self.sent as f64
    }

    /// Whether ping succeeded: there was an answer, and none was wrong.
    pub(crate) fn success(&self) -> bool {
        self.answered > 0 && self.corrupted == 0
    }

    /// None without an answer.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let count = u128::from(self.answered);
        let mean = self.sum.checked_div(count)?;
        // n * sum(x^2) - sum(x)^2, all in integers: nothing cancels.
        let variance = count
            .checked_mul(self.sum_of_squares)
            .zip(self.sum.checked_mul(self.sum))
            .map(|(squares, square)| squares.saturating_sub(square) as f64)
            .unwrap_or_default();
        let mdev = variance.sqrt() / self.answered as f64;
        Some(Summary {
            min: self.least,
            avg: mean as u64,
            max: self.greatest,
            mdev: mdev.round() as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(times: &[u64]) -> Statistics {
        let mut statistics = Statistics {
            sent: times.len() as u64,
            ..Default::default()
        };
        for time in times {
            statistics.answer(Duration::from_nanos(*time), true);
        }
        statistics
    }

    #[test]
    fn the_deviation_is_that_of_the_whole_population() {
        let summary =
            statistics(&[2_000, 4_000, 4_000, 4_000, 5_000, 5_000, 7_000, 9_000]).summary();
        assert_eq!(
            summary,
            Some(Summary {
                min: 2_000,
                avg: 5_000,
                max: 9_000,
                mdev: 2_000
            })
        );
    }

    #[test]
    fn equal_times_do_not_deviate_however_great() {
        let hour = 3_600_000_000_000;
        let summary = statistics(&[hour; 100]).summary();
        assert_eq!(
            summary,
            Some(Summary {
                min: hour,
                avg: hour,
                max: hour,
                mdev: 0
            })
        );
        assert_eq!(
            statistics(&[7]).summary(),
            Some(Summary {
                min: 7,
                avg: 7,
                max: 7,
                mdev: 0
            })
        );
    }

    #[test]
    fn nothing_is_no_summary_and_no_division_by_zero() {
        let nothing = Statistics::default();
        assert_eq!(
            (nothing.summary(), nothing.loss_percent(), nothing.success()),
            (None, 0.0, false)
        );
    }

    #[test]
    fn loss_counts_what_was_sent() {
        let mut statistics = statistics(&[1, 2, 3]);
        statistics.sent = 4;
        assert_eq!(statistics.loss_percent(), 25.0);
        assert!(statistics.success());
        statistics.answer(Duration::from_nanos(4), false);
        assert_eq!((statistics.corrupted, statistics.success()), (1, false));
    }
}
