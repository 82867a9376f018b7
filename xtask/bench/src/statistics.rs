//! Ratios of medians and how sure they are.

use serde::Serialize;
use statrs::statistics::{Data, OrderStatistics as _, Statistics as _};

/// Enough that the interval's ends repeat to a tenth of a percent.
const RESAMPLES: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Ratio {
    pub(super) value: f64,
    /// Ends of the 95 % interval.
    pub(super) low: f64,
    pub(super) high: f64,
}

/// The median, 0 for no values at all.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values = Data::new(values.into_iter().collect::<Vec<_>>());
    if values.is_empty() {
        return 0.0;
    }
    values.median()
}

/// The mean, 0 for no values at all.
pub(super) fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.into_iter().collect();
    if values.is_empty() {
        return 0.0;
    }
    values.mean()
}

/// Median of the second values over median of the first. The interval comes from drawing whole
/// pairs again and again, so what a pair's two runs have in common stays in common.
pub(super) fn ratio_of_medians(pairs: &[(f64, f64)]) -> Ratio {
    let ratio = |pairs: &[(f64, f64)]| {
        median(pairs.iter().map(|pair| pair.1)) / median(pairs.iter().map(|pair| pair.0))
    };
    // Seeded: the same figures give the same interval.
    let mut random = fastrand::Rng::with_seed(0x5eed);
    let ratios: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn: Vec<_> = pairs
                .iter()
                .filter_map(|_| random.choice(pairs).copied())
                .collect();
            ratio(&drawn)
        })
        .collect();
    let mut ratios = Data::new(ratios);
    Ratio {
        value: ratio(pairs),
        low: ratios.quantile(0.025),
        high: ratios.quantile(0.975),
    }
}

/// A ratio within pairs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct PairedRatio {
    pub(super) value: f64,
    /// Ends of the 95 % interval; fewer than six pairs have none.
    pub(super) interval: Option<[f64; 2]>,
}

/// How much larger the second values are than the first, pair by pair: what the two runs of a pair have
/// in common cancels out. The median of all means of two ratios (Hodges and Lehmann), which takes more out
/// of few pairs than their median and forgives an outlier; its interval inverts Wilcoxon's signed rank test
/// and supposes nothing but symmetry.
pub(super) fn paired_ratio(pairs: &[(f64, f64)]) -> PairedRatio {
    let logarithms: Vec<f64> = pairs.iter().map(|pair| (pair.1 / pair.0).ln()).collect();
    let mut means: Vec<f64> = logarithms
        .iter()
        .enumerate()
        .flat_map(|(number, one)| {
            let others = logarithms.iter().skip(number);
            others.map(|other| f64::midpoint(*one, *other).exp())
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let ends = rank_below(pairs.len()).and_then(|rank| {
        let low = means.get(rank)?;
        let high = means.get(means.len().checked_sub(rank + 1)?)?;
        Some([*low, *high])
    });
    PairedRatio {
        value: median(means),
        interval: ends,
    }
}

/// The largest rank sum that chance undercuts or meets in at most 2.5 % of cases, with `pairs` pairs.
fn rank_below(pairs: usize) -> Option<usize> {
    const TAIL: f64 = 0.025;
    // How many of all 2^pairs choices of signs give each rank sum: each rank is in the sum or not.
    let mut ways = vec![1.0];
    for rank in 1..=pairs {
        let mut next = vec![0.0; ways.len() + rank];
        for (sum, count) in ways.iter().enumerate() {
            next[sum] += count;
            next[sum + rank] += count;
        }
        ways = next;
    }
    let all: f64 = ways.iter().sum();
    let mut below = 0.0;
    let within = ways.iter().take_while(|count| {
        below += *count;
        below / all <= TAIL
    });
    within.count().checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median([]).abs() < 1e-9 && mean([]).abs() < 1e-9);
        assert!((mean([1.0, 4.0]) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn ranks_are_those_of_the_tables() {
        // Critical values of the signed rank test, two-sided 5 %.
        let table = [
            (5, None),
            (6, Some(0)),
            (7, Some(2)),
            (8, Some(3)),
            (10, Some(8)),
            (20, Some(52)),
        ];
        for (pairs, rank) in table {
            assert_eq!(rank_below(pairs), rank, "{pairs} pairs");
        }
    }

    #[test]
    fn pairs_are_compared_within() {
        // Each round is twice as slow as the one before: the ratio is the same in all.
        let pairs: Vec<_> = (0..7)
            .map(|round| (f64::from(1 << round), f64::from(1 << round) * 1.02))
            .collect();
        let ratio = paired_ratio(&pairs);
        assert!((ratio.value - 1.02).abs() < 1e-9, "{ratio:?}");
        let [low, high] = ratio.interval.unwrap();
        assert!(high - low < 1e-9, "{ratio:?}");
        assert_eq!(paired_ratio(&pairs[..5]).interval, None);
        // One outlier among seven is forgiven.
        let mut outlier = pairs;
        outlier[3].1 *= 3.0;
        assert!((paired_ratio(&outlier).value - 1.02).abs() < 1e-9);
    }

    #[test]
    fn the_interval_holds_the_ratio_and_is_as_wide_as_the_noise() {
        let steady = ratio_of_medians(&[(10.0, 10.1); 10]);
        assert!((steady.value - 1.01).abs() < 1e-9 && (steady.high - steady.low).abs() < 1e-9);
        let noisy: Vec<_> = (0..10)
            .map(|i| (10.0, 10.0 + f64::from(i) / 10.0))
            .collect();
        let noisy = ratio_of_medians(&noisy);
        assert!(
            noisy.low < noisy.value && noisy.value < noisy.high,
            "{noisy:?}"
        );
        assert!(noisy.low >= 1.0 && noisy.high <= 1.09, "{noisy:?}");
    }
}
