//! What a scrape asks for, as in MediaMTX: `type=` chooses one category, `path=`, `rtsp_session=` and the like one item
//! of it. Our own `type=headwater` chooses the `headwater_…` and process families alone.

/// The categories, and the query key that chooses one item of each.
pub(crate) const CATEGORIES: [(&str, &str); 13] = [
    ("paths", "path"),
    ("forward_dests", "forward_dest"),
    ("hls_sessions", "hls_session"),
    ("hls_muxers", "hls_muxer"),
    ("rtsp_conns", "rtsp_conn"),
    ("rtsp_sessions", "rtsp_session"),
    ("rtsps_conns", "rtsps_conn"),
    ("rtsps_sessions", "rtsps_session"),
    ("rtmp_conns", "rtmp_conn"),
    ("rtmps_conns", "rtmps_conn"),
    ("srt_conns", "srt_conn"),
    ("webrtc_sessions", "webrtc_session"),
    ("moq_sessions", "moq_session"),
];
/// The `type=` of our own families.
const OWN: &str = "headwater";

/// What is to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Empty for all.
    category: String,
    /// Query key and the item asked for; never empty.
    items: Vec<(String, String)>,
}

impl Filter {
    /// Reads the query. Keys that mean nothing here (a token, for instance) are left to others.
    ///
    /// # Errors
    /// A type that does not exist.
    pub(crate) fn of_query(query: &[(String, String)]) -> Result<Filter, String> {
        let mut filter = Filter::default();
        for (key, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
            if key == "type" {
                if value != OWN && !CATEGORIES.iter().any(|(category, _)| category == value) {
                    let known: Vec<_> = CATEGORIES.iter().map(|(category, _)| *category).collect();
                    return Err(format!("there is no type of that name; use {} or {OWN}", known.join(", ")));
                }
                filter.category.clone_from(value);
            } else if CATEGORIES.iter().any(|(_, item)| item == key) {
                filter.items.push((key.clone(), value.clone()));
            }
        }
        Ok(filter)
    }

    /// Whether lines of `category` are wanted at all.
    pub(crate) fn wants(&self, category: &str) -> bool {
        (self.category.is_empty() || self.category == category)
            && (self.items.is_empty() || self.item(category).is_some())
    }

    /// Whether an empty category shows its names with a zero.
    pub(crate) fn wants_zero(&self, category: &str) -> bool {
        self.items.is_empty()
            && (self.category == category || self.category.is_empty() && category != "forward_dests")
    }

    /// Whether this item of a wanted category is wanted.
    pub(crate) fn admits(&self, category: &str, item: &str) -> bool {
        self.item(category).is_none_or(|wanted| wanted == item)
    }

    /// Whether the `headwater_…` and process families are wanted.
    pub(crate) fn wants_own(&self) -> bool {
        self.items.is_empty() && (self.category.is_empty() || self.category == OWN)
    }

    fn item(&self, category: &str) -> Option<&str> {
        let (_, key) = CATEGORIES.iter().find(|(name, _)| *name == category)?;
        self.items.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(query: &[(&str, &str)]) -> Filter {
        let query: Vec<_> =
            query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Filter::of_query(&query).expect("a filter")
    }

    #[test]
    fn nothing_asked_for_shows_all() {
        let all = filter(&[("token", "x"), ("path", "")]);
        assert!(all.wants("paths") && all.wants("srt_conns") && all.wants_own());
        assert!(all.wants_zero("paths") && !all.wants_zero("forward_dests"));
    }

    #[test]
    fn a_type_leaves_out_the_others() {
        let paths = filter(&[("type", "paths")]);
        assert!(paths.wants("paths") && paths.wants_zero("paths"));
        assert!(!paths.wants("rtsp_conns") && !paths.wants_own());
        assert!(filter(&[("type", "forward_dests")]).wants_zero("forward_dests"));
        assert!(filter(&[("type", "headwater")]).wants_own());
        assert!(!filter(&[("type", "headwater")]).wants("paths"));
    }

    #[test]
    fn an_item_leaves_out_the_other_categories_and_the_zeros() {
        let one = filter(&[("rtsp_session", "7")]);
        assert!(one.wants("rtsp_sessions") && !one.wants("paths") && !one.wants_own());
        assert!(!one.wants_zero("rtsp_sessions"));
        assert!(one.admits("rtsp_sessions", "7") && !one.admits("rtsp_sessions", "8"));
        assert!(!filter(&[("type", "paths"), ("rtsp_session", "7")]).wants("paths"));
    }

    #[test]
    fn a_type_that_does_not_exist_is_refused() {
        let query = [("type".to_owned(), "nonsense".to_owned())];
        assert!(Filter::of_query(&query).expect_err("refused").contains("paths, forward_dests"));
    }
}
