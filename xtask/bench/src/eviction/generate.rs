//! Traces made by rule, the same each time.

use fastrand::Rng;

use super::trace::{Builder, Trace};

const SEED: u64 = 13;
/// Of a compiler: 0.6 CPU seconds for each megabyte of archive, half more or less.
const CPU_S_PER_BYTE: f64 = 0.6e-6;

/// Sets of packages built in turn, 1.5 times as much as the cap in all: an LRU never has what comes next.
pub(super) fn rotating() -> Trace {
    const SETS: usize = 12;
    const ROUNDS: usize = 8;
    const PACKAGES: usize = 20;
    let mut rng = Rng::with_seed(SEED);
    let made: Vec<Package> = (0..SETS * PACKAGES)
        .map(|_| Package::new(&mut rng))
        .collect();
    let mut builder = Builder::new("rotating");
    for round in 0..ROUNDS {
        for set in 0..SETS {
            builder.start(format!("{round}-{set}"));
            let packages = made.iter().enumerate().skip(set * PACKAGES);
            for (number, package) in packages.take(PACKAGES) {
                package.look_up(&mut builder, number, 0, 0);
            }
        }
    }
    builder.finish()
}

/// A repository of twelve modules over a common library, in four variants: somebody works on a module for some runs,
/// each mostly after a change of it, then on another; a change recompiles what imports it in one case of three.
pub(super) fn modular() -> Trace {
    const MODULES: usize = 12;
    const PACKAGES: usize = 25;
    const LIBRARY: usize = 120;
    const RUNS: usize = 200;
    let mut rng = Rng::with_seed(SEED);
    let all = LIBRARY + MODULES * PACKAGES;
    let made: Vec<Package> = (0..all).map(|_| Package::new(&mut rng)).collect();
    let mut versions = vec![0u64; all];
    let mut builder = Builder::new("modular");
    let mut module = 0;
    for run in 0..RUNS {
        if rng.f64() < 0.3 {
            // The first ones are worked on more.
            module = rng.usize(0..MODULES).min(rng.usize(0..MODULES));
        }
        let first = LIBRARY + module * PACKAGES;
        if rng.f64() < 0.7 {
            let changed = rng.usize(0..PACKAGES);
            versions[first + changed] += 1;
            let importers = first + changed + 1..first + PACKAGES;
            importers
                .filter(|_| rng.u8(0..3) == 0)
                .for_each(|it| versions[it] += 1);
        }
        let variant = if rng.f64() < 0.7 { 0 } else { rng.usize(1..4) };
        builder.start(format!("{run}"));
        // Of the library each module needs its own two thirds.
        let library = (0..LIBRARY).filter(|number| (number + module) % 3 != 0);
        for number in library.chain(first..first + PACKAGES) {
            made[number].look_up(&mut builder, number, versions[number], variant);
        }
    }
    builder.finish()
}

struct Package {
    bytes: u64,
    cpu_s: f32,
}

impl Package {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes are between 8 KiB and 4 MiB"
    )]
    fn new(rng: &mut Rng) -> Self {
        // Most are small, some large.
        let bytes = 8192.0 * (9.0 * rng.f64() * rng.f64()).exp2();
        let cpu_s = bytes * CPU_S_PER_BYTE * (0.5 + rng.f64());
        Self {
            bytes: bytes as u64,
            cpu_s: cpu_s as f32,
        }
    }

    fn look_up(&self, builder: &mut Builder, number: usize, version: u64, variant: usize) {
        builder.look_up(
            format!("{number}-{version}-{variant}"),
            self.bytes,
            self.cpu_s,
            (number.to_string(), variant.to_string()),
        );
    }
}
