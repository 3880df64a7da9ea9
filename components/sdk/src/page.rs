//! Lists in pages: by number, as existing clients ask, and by cursor, which stays right while rows are added.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    http::{Error, Query},
    json::has_nul,
};

const DEFAULT_LIMIT: i64 = 10;
const MAX_LIMIT: i64 = 100;

/// Which part of a list the caller wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// From 1.
    pub page: i64,
    /// Rows on one page, 1 to 100.
    pub limit: i64,
    /// Where the last page ended, as [`Page::next_cursor`] said it; takes the place of `page`.
    pub cursor: Option<String>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self {
            page: 1,
            limit: DEFAULT_LIMIT,
            cursor: None,
        }
    }
}

impl PageRequest {
    /// From `page`, `limit` and `cursor`: zero and below is a 400, more than 100 rows is 100 rows.
    pub fn from_query(query: &Query) -> Result<Self, Error> {
        let positive = |name: &'static str, default: i64| match query.get::<i64>(name)? {
            None => Ok(default),
            Some(value) if value > 0 => Ok(value),
            Some(_) => Err(Error::invalid(name, "must be greater than 0")),
        };
        Ok(Self {
            page: positive("page", 1)?,
            limit: positive("limit", DEFAULT_LIMIT)?.min(MAX_LIMIT),
            cursor: query.get("cursor")?,
        })
    }

    /// Rows to skip: none when a cursor says where to begin.
    pub fn offset(&self) -> i64 {
        if self.cursor.is_some() {
            0
        } else {
            (self.page - 1).saturating_mul(self.limit)
        }
    }

    /// The cursor's content: the sort key and id of the last row seen. A cursor that is not ours is a 400.
    pub fn cursor<K: DeserializeOwned>(&self) -> Result<Option<K>, Error> {
        let Some(text) = &self.cursor else { return Ok(None) };
        STANDARD
            .decode(text)
            .ok()
            // No text that we gave away has it, and none that has it can be compared with what is stored.
            .filter(|bytes| !has_nul(bytes))
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .map(Some)
            .ok_or_else(|| Error::invalid("cursor", "is not a cursor of this list"))
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Its rows.
    pub items: Vec<T>,
    /// Rows on all pages.
    pub total: i64,
    /// Where the next page begins, when there is one.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of rows that were asked for with one more than `limit`: whether that one came decides whether there is a next
    /// page. `key` gives a row's sort key and id, which the cursor carries.
    pub fn from_rows<K: Serialize>(request: &PageRequest, mut rows: Vec<T>, total: i64, key: impl Fn(&T) -> K) -> Self {
        let limit = request.limit as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|last| encode(&key(last)));
        Self {
            items: rows,
            total,
            next_cursor,
        }
    }

    /// The same page with its rows changed into something else.
    pub fn map<U>(self, with: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(with).collect(),
            total: self.total,
            next_cursor: self.next_cursor,
        }
    }

    /// The `pagination` object of the envelope. Behind a cursor no page has a number, and so the next one has none.
    pub(crate) fn pagination(&self, request: &PageRequest) -> Value {
        let seen = request.page.saturating_mul(request.limit);
        json!({
            "limit": request.limit,
            "total": self.total,
            "page": request.page,
            "next_page": (request.cursor.is_none() && seen < self.total).then(|| request.page + 1),
            "cursor": request.cursor,
            "next_cursor": self.next_cursor,
        })
    }
}

fn encode<K: Serialize>(key: &K) -> String {
    // A key is numbers, texts, ids and times; serde_json fails for maps with other keys alone.
    STANDARD.encode(serde_json::to_vec(key).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(query: &str) -> Result<PageRequest, Error> {
        PageRequest::from_query(&Query::parse(query))
    }

    #[test]
    fn a_page_has_defaults_and_a_ceiling() {
        assert_eq!(
            request(""),
            Ok(PageRequest {
                page: 1,
                limit: 10,
                cursor: None
            })
        );
        assert_eq!(
            request("page=3&limit=500&cursor="),
            Ok(PageRequest {
                page: 3,
                limit: 100,
                cursor: None
            })
        );
        assert_eq!(request("page=3&limit=20").unwrap().offset(), 40);
    }

    #[test]
    fn zero_and_below_is_refused() {
        for query in ["page=0", "limit=0", "limit=-1", "page=x"] {
            assert_eq!(request(query).unwrap_err().status(), 400, "{query}");
        }
    }

    #[test]
    fn a_cursor_carries_the_key_of_the_last_row() {
        let first = request("limit=2").unwrap();
        let page = Page::from_rows(&first, vec![5, 7, 9], 3, |id| (*id, "x"));
        assert_eq!(page.items, [5, 7]);
        let next = PageRequest {
            cursor: page.next_cursor,
            ..first
        };
        assert_eq!(next.cursor::<(i32, String)>(), Ok(Some((7, "x".to_owned()))));
        assert_eq!(next.offset(), 0);
    }

    #[test]
    fn a_part_behind_a_cursor_has_no_next_page_by_number() {
        let first = request("limit=2").unwrap();
        let page = Page::from_rows(&first, vec![5, 7, 9], 5, |id| *id);
        assert_eq!(page.pagination(&first)["next_page"], 2);
        let next = PageRequest {
            cursor: page.next_cursor,
            ..first
        };
        let more = Page::from_rows(&next, vec![9, 11, 13], 5, |id| *id).pagination(&next);
        let last = Page::from_rows(&next, vec![9], 5, |id| *id).pagination(&next);
        assert_eq!((&more["next_page"], &last["next_page"]), (&Value::Null, &Value::Null));
        assert!(more["next_cursor"].is_string() && last["next_cursor"].is_null());
    }

    #[test]
    fn the_last_page_has_no_next() {
        let request = request("limit=2&page=2").unwrap();
        let page = Page::from_rows(&request, vec![9], 3, |id| *id);
        assert_eq!(page.next_cursor, None);
        assert_eq!(page.pagination(&request)["next_page"], Value::Null);
        assert_eq!(page.pagination(&request)["total"], 3);
    }

    #[test]
    fn a_page_far_away_does_not_overflow() {
        let request = request("page=9223372036854775807&limit=100").unwrap();
        assert_eq!(request.offset(), i64::MAX);
        let page = Page {
            items: Vec::<u8>::new(),
            total: 0,
            next_cursor: None,
        };
        assert_eq!(page.pagination(&request)["next_page"], Value::Null);
    }

    #[test]
    fn a_foreign_cursor_is_refused() {
        for cursor in ["%25", "bm8=", "eyJhIjoxfQ=="] {
            let request = PageRequest {
                cursor: Some(cursor.to_owned()),
                ..PageRequest::default()
            };
            assert_eq!(request.cursor::<(i64, i64)>().unwrap_err().status(), 400, "{cursor}");
        }
    }

    #[test]
    fn a_cursor_has_no_character_that_no_text_column_keeps() {
        for text in [r#""a\u0000""#, "\"a\0\"", r#"["a", "\u0000"]"#] {
            let request = PageRequest {
                cursor: Some(STANDARD.encode(text)),
                ..PageRequest::default()
            };
            let error = request.cursor::<Value>().unwrap_err();
            assert_eq!((error.status(), error.code()), (400, "validation"), "{text}");
        }
        let about_it = PageRequest {
            cursor: Some(STANDARD.encode(r#""a\\u0000""#)),
            ..PageRequest::default()
        };
        assert_eq!(about_it.cursor(), Ok(Some(r"a\u0000".to_owned())));
    }
}
