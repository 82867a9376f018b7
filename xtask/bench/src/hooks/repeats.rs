//! Several agents, one after the other, for each figure: where the kernel happens to put a program's
//! machine code is worth ten nanoseconds, which must not pass for the cost of a root.

use std::collections::BTreeMap;

use super::{Figure, Measured};
use crate::statistics::mean;

/// Agents for each number of roots, in turn.
const REPEATS: usize = 4;
const ROOTS: &str = "1,100";

/// Options of the measuring program that give `calls` calls for each figure.
pub(super) fn options(calls: u64) -> [String; 4] {
    let each = calls.div_ceil(REPEATS as u64);
    let roots = [ROOTS; REPEATS].join(",");
    [
        "--calls".to_owned(),
        each.to_string(),
        "--roots".to_owned(),
        roots,
    ]
}

/// One figure where several were measured: their mean.
pub(super) fn merged(measured: Measured) -> Measured {
    let mut groups = BTreeMap::<(u32, usize), Vec<Figure>>::new();
    let mut kinds = Vec::new();
    for figure in measured.figures {
        let kind = (figure.place.clone(), figure.access.clone());
        let number = kinds.iter().position(|known| *known == kind);
        let number = number.unwrap_or_else(|| {
            kinds.push(kind);
            kinds.len() - 1
        });
        groups
            .entry((figure.roots, number))
            .or_default()
            .push(figure);
    }
    let figures: Vec<Figure> = groups
        .into_iter()
        .zip(kinds.iter().cycle())
        .map(|(((roots, _), group), (place, access))| Figure {
            roots,
            place: place.clone(),
            access: access.clone(),
            empty: mean(group.iter().map(|figure| figure.empty)),
            open: mean(group.iter().map(|figure| figure.open)),
            rest: mean(group.iter().map(|figure| figure.rest)),
        })
        .collect();
    Measured {
        calls: measured.calls * REPEATS as u64,
        figures,
        ..measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_one_kind_are_averaged_and_keep_their_order() {
        let figure = |roots, place: &str, open| Figure {
            roots,
            place: place.to_owned(),
            access: "read".to_owned(),
            empty: 30.0,
            open,
            rest: 0.0,
        };
        let measured = Measured {
            backend: "tracepoint".to_owned(),
            calls: 25,
            programs: Vec::new(),
            figures: vec![
                figure(1, "outside", 10.0),
                figure(1, "inside", 100.0),
                figure(100, "outside", 12.0),
                figure(100, "inside", 120.0),
                figure(1, "outside", 20.0),
                figure(1, "inside", 200.0),
                figure(100, "outside", 14.0),
                figure(100, "inside", 140.0),
            ],
        };
        let merged = merged(measured);
        let found: Vec<_> = merged
            .figures
            .iter()
            .map(|it| (it.roots, it.place.as_str(), it.open.to_string()))
            .collect();
        let expected = [
            (1, "outside", "15"),
            (1, "inside", "150"),
            (100, "outside", "13"),
            (100, "inside", "130"),
        ]
        .map(|(roots, place, open)| (roots, place, open.to_owned()));
        assert_eq!(found, expected);
        assert_eq!(merged.calls, 100);
    }
}
