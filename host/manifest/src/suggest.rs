//! "Did you mean": the known name nearest to a mistyped one.

/// The candidate within a third of `name`'s length in edits, the nearest first; none when all are further away.
pub(crate) fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    let bound = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

/// Edits (insert, delete, replace, swap of neighbours) that turn one into the other.
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    for (row, cells) in rows.iter_mut().enumerate() {
        cells[0] = row;
    }
    rows[0] = (0..=to.len()).collect();
    for row in 1..=from.len() {
        for column in 1..=to.len() {
            let replaced = rows[row - 1][column - 1] + usize::from(from[row - 1] != to[column - 1]);
            let mut best = replaced.min(rows[row - 1][column] + 1).min(rows[row][column - 1] + 1);
            if row > 1 && column > 1 && from[row - 1] == to[column - 2] && from[row - 2] == to[column - 1] {
                best = best.min(rows[row - 2][column - 2] + 1);
            }
            rows[row][column] = best;
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_within_a_third_is_suggested() {
        assert_eq!(nearest("sorce", ["source", "build", "tool"]), Some("source".into()));
        assert_eq!(
            nearest("shcema", ["schema", "keys"]),
            Some("schema".into()),
            "a swap is one edit"
        );
        assert_eq!(nearest("kez", ["keys", "key"]), Some("key".into()));
    }

    #[test]
    fn nothing_is_suggested_when_all_names_are_far() {
        assert_eq!(nearest("colour", ["source", "build"]), None);
    }
}
