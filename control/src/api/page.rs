//! Pages of lists: `page` (from 0) and `itemsPerPage` (100), as in MediaMTX, and `search`, which it has not.

use super::extract::Fields;
use crate::http::answer::{Failure, json_response};
use crate::http::counters::Refusal;
use axum::body::{Body, Bytes};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use std::convert::Infallible;
use std::sync::{Arc, LazyLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const ITEMS_PER_PAGE: usize = 100;
/// MediaMTX reads 31 bits.
pub(super) const NUMBER_MAX: usize = (1 << 31) - 1;
/// Characters of a search; nothing longer is a name.
const SEARCH_MAX: usize = 256;

/// Which part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    page: usize,
    items_per_page: usize,
    /// Only names that hold this.
    search: String,
}

/// A page of a list.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listing<T> {
    item_count: usize,
    page_count: usize,
    items: Vec<T>,
}

impl<S: Sync> FromRequestParts<S> for Page {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Page, Failure> {
        Page::of(&Fields::of(parts.uri.query().unwrap_or_default()))
    }
}

impl Page {
    pub(super) fn of(fields: &Fields) -> Result<Page, Failure> {
        let items_per_page = number(fields, "itemsPerPage", ITEMS_PER_PAGE)?;
        if items_per_page == 0 {
            return Err(Failure::bad_request("invalid itemsPerPage: it must be 1 at least"));
        }
        let search = fields.get("search").unwrap_or_default();
        if search.chars().count() > SEARCH_MAX {
            return Err(Failure::bad_request(format!("search is longer than {SEARCH_MAX} characters")));
        }
        Ok(Page { page: number(fields, "page", 0)?, items_per_page, search: search.to_owned() })
    }

    /// Whether something of this name is asked for.
    pub(super) fn wants(&self, name: &str) -> bool {
        name.contains(&self.search)
    }

    /// Takes the page out of a sorted list, and only then makes what is shown.
    pub(super) fn of_list<T, U>(&self, list: Vec<T>, show: impl FnMut(T) -> U) -> Listing<U> {
        let item_count = list.len();
        let first = self.page.saturating_mul(self.items_per_page);
        let items = list.into_iter().skip(first).take(self.items_per_page).map(show).collect();
        Listing { item_count, page_count: item_count.div_ceil(self.items_per_page), items }
    }
}

fn number(fields: &Fields, name: &str, default: usize) -> Result<usize, Failure> {
    let Some(text) = fields.get(name) else {
        return Ok(default);
    };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && number <= NUMBER_MAX => Ok(number),
        _ => {
            Err(Failure::bad_request(format!("invalid {name}: it must be a whole number up to {NUMBER_MAX}")))
        }
    }
}

/// An answer that says `value`.
pub(super) fn json<T: Serialize>(value: &T) -> Result<Response, Failure> {
    let text = serde_json::to_vec(value)
        .map_err(|error| Failure::internal(format!("cannot write the answer: {error}")))?;
    if text.len() < LARGE_FROM {
        return Ok(json_response(StatusCode::OK, text));
    }
    let units = u32::try_from(text.len() / LARGE_UNIT).unwrap_or(u32::MAX);
    let held = Arc::clone(&LARGE).try_acquire_many_owned(units).map_err(|_| Failure {
        refusal: Some(Refusal::LargeAnswers),
        ..Failure::unavailable("too many large answers wait for their readers; ask for smaller pages")
    })?;
    let length = text.len();
    let mut response = json_response(StatusCode::OK, in_pieces(text.into(), held));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

/// Hands out a text piece by piece; what it takes of the bound is given back with the last of it.
fn in_pieces(mut text: Bytes, held: OwnedSemaphorePermit) -> Body {
    Body::from_stream(futures_util::stream::iter(std::iter::from_fn(move || {
        let _held = &held;
        let piece = text.split_to(text.len().min(LARGE_FROM));
        (!piece.is_empty()).then_some(Ok::<_, Infallible>(piece))
    })))
}

/// Answers from this size on count towards [`LARGE_MAX`].
const LARGE_FROM: usize = 64 * 1024;
const LARGE_UNIT: usize = 1024;
/// Bytes of large answers that are held for clients that have not taken them yet: 10,000 paths are 23 MB.
const LARGE_MAX: usize = 96 * 1024 * 1024;

static LARGE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(LARGE_MAX / LARGE_UNIT)));

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> Result<Page, Failure> {
        Page::of(&Fields::of(query))
    }

    #[test]
    fn pages_count_from_zero_and_join_to_the_whole_list() {
        let list: Vec<u32> = (0..250).collect();
        let mut joined = Vec::new();
        for number in 0..3 {
            let listing = page(&format!("page={number}")).unwrap().of_list(list.clone(), |n| n);
            assert_eq!((listing.item_count, listing.page_count), (250, 3));
            joined.extend(listing.items);
        }
        assert_eq!(joined, list);
        let beyond = page("page=2147483647&itemsPerPage=2147483647").unwrap().of_list(list, |n| n);
        assert_eq!((beyond.page_count, beyond.items.len()), (1, 0));
        let empty = page("").unwrap().of_list(Vec::<u32>::new(), |n| n);
        assert_eq!((empty.item_count, empty.page_count), (0, 0));
    }

    #[test]
    fn bad_values_are_refused() {
        for query in [
            "page=-1",
            "page=a",
            "page=",
            "page=%2B1",
            "page=2147483648",
            "itemsPerPage=0",
            "itemsPerPage=-5",
            "itemsPerPage=1.5",
            "page=99999999999999999999999",
        ] {
            assert_eq!(page(query).unwrap_err().status, StatusCode::BAD_REQUEST, "{query}");
        }
        assert_eq!(page("page=1&page=x").unwrap().page, 1);
    }

    #[test]
    fn search_is_a_substring() {
        let page = page("search=cam%2F1").unwrap();
        assert!(page.wants("site/cam/12") && !page.wants("cam1"));
    }
}
