//! One row, read by column.

use std::rc::Rc;

use super::{Error, FromValue, Value};
use crate::bindings::nexus::sql::sql;

/// A row of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    columns: Rc<[String]>,
    values: Vec<Value>,
}

/// A column by its name or by its position from 0.
pub trait Column: Copy {
    /// Its position.
    fn position(self, columns: &[String]) -> Option<usize>;

    /// For messages.
    fn name(self) -> String;
}

impl Column for &str {
    fn position(self, columns: &[String]) -> Option<usize> {
        columns.iter().position(|column| column == self)
    }

    fn name(self) -> String {
        self.to_owned()
    }
}

impl Column for usize {
    fn position(self, columns: &[String]) -> Option<usize> {
        (self < columns.len()).then_some(self)
    }

    fn name(self) -> String {
        self.to_string()
    }
}

impl Row {
    /// A row of these columns and values; for tests of what reads one.
    pub fn new(columns: &[&str], values: Vec<Value>) -> Self {
        Self {
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            values,
        }
    }

    pub(super) fn all(rows: sql::Rows) -> Vec<Self> {
        let columns: Rc<[String]> = rows.columns.into();
        rows.rows
            .into_iter()
            .map(|values| Self {
                columns: Rc::clone(&columns),
                values,
            })
            .collect()
    }

    /// The column's value; `Option<T>` where it may be null.
    pub fn get<T: FromValue>(&self, column: impl Column) -> Result<T, Error> {
        let position = column
            .position(&self.columns)
            .ok_or_else(|| Error::NoColumn(column.name()))?;
        let value = self
            .values
            .get(position)
            .ok_or_else(|| Error::NoColumn(column.name()))?;
        T::from_value(value).ok_or_else(|| Error::ColumnType {
            column: column.name(),
            expected: std::any::type_name::<T>(),
        })
    }
}

pub(super) fn one(rows: Vec<Row>) -> Result<Row, Error> {
    at_most_one(rows)?.ok_or(Error::NoRow)
}

pub(super) fn at_most_one(mut rows: Vec<Row>) -> Result<Option<Row>, Error> {
    match rows.len() {
        0 | 1 => Ok(rows.pop()),
        several => Err(Error::SeveralRows(several)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row::new(&["id", "name"], vec![Value::Int64(7), Value::Null])
    }

    #[test]
    fn columns_are_read_by_name_and_position() {
        assert_eq!(row().get::<i64>("id"), Ok(7));
        assert_eq!(row().get::<i64>(0), Ok(7));
        assert_eq!(row().get::<Option<String>>("name"), Ok(None));
    }

    #[test]
    fn what_is_not_there_or_of_another_type_is_an_error() {
        assert_eq!(row().get::<i64>("nope"), Err(Error::NoColumn("nope".to_owned())));
        assert!(matches!(row().get::<String>("name"), Err(Error::ColumnType { .. })));
        assert!(matches!(row().get::<i64>(2), Err(Error::NoColumn(_))));
    }

    #[test]
    fn one_row_means_one() {
        assert_eq!(one(vec![]), Err(Error::NoRow));
        assert_eq!(one(vec![row(), row()]), Err(Error::SeveralRows(2)));
        assert_eq!(at_most_one(vec![]), Ok(None));
    }
}
