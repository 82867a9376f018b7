//! Who compiled what last.

use super::*;
use crate::store::query::{EarlierFilter, past};

#[test]
fn the_last_maker_is_told_until_it_is_forgotten() {
    let state = State::new();
    let mut store = state.open();
    let made = |id: &str, start_ms, keys: &[i64]| {
        let mut made = invocation(id, start_ms);
        made.keys = keys.to_vec();
        run(made, Vec::new())
    };
    store
        .write(&[made("one", 1000, &[1, 2]), made("two", 2000, &[2, 3])])
        .unwrap();
    let filter = EarlierFilter {
        module: "another",
        cwd: None,
        before_ms: i64::MAX,
        limit: 9,
    };
    let makers = |store: &Store| {
        let past = past(store, &filter, &[1, 2, 3, 4]).unwrap();
        [1, 2, 3, 4].map(|key| past.maker(key).map(|maker| maker.id.clone()))
    };
    let (one, two) = (Some("one".to_owned()), Some("two".to_owned()));
    assert_eq!(makers(&store), [one, two.clone(), two.clone(), None]);
    let settings = Settings {
        max_age: Duration::from_millis(500),
        ..state.settings()
    };
    while store.retain(&settings, 2000).unwrap() == crate::store::retain::Progress::More {}
    assert_eq!(makers(&store), [None, two.clone(), two, None]);
    let rows = "SELECT count(*) FROM compiled";
    let rows: i64 = store
        .connection
        .query_row(rows, [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 2);
}
