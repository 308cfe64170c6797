//! Finding pages by words.
//!
//! A place is a heading with what stands below it. It is found when each word is in the title of its page, in its
//! heading or in its text; what has them in the title comes first, then headings, then text.

use std::collections::BTreeMap;

use super::markdown::render;

/// Words of a question beyond these are not looked at.
const WORDS_MAX: usize = 8;
/// Places shown.
const FOUND_MAX: usize = 40;
/// Characters shown of a place.
const SHOWN: usize = 180;

/// A heading with what stands below it, ready to be searched.
#[derive(Debug)]
pub(super) struct Place {
    path: String,
    title: String,
    heading: Option<(String, String)>,
    text: String,
    /// Title, heading and text in lower case.
    lower: [String; 3],
}

/// A place that was found.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) path: &'a str,
    pub(super) title: &'a str,
    /// The heading and the name to link to; None for what stands before the first.
    pub(super) heading: Option<&'a (String, String)>,
    pub(super) around: String,
    score: usize,
}

/// Every place of all pages.
pub(super) fn places(pages: &BTreeMap<String, String>) -> Vec<Place> {
    let mut places = Vec::new();
    for (path, markdown) in pages {
        let page = render(path, markdown);
        let first = page.headings.first().map_or(markdown.len(), |heading| heading.at);
        let ends = page.headings.iter().skip(1).map(|heading| heading.at).chain([markdown.len()]);
        let parts = page.headings.iter().zip(ends).map(|(heading, end)| (Some(heading), heading.at, end));
        for (heading, from, to) in std::iter::once((None, 0, first)).chain(parts) {
            let heading = heading.map(|heading| (heading.text.clone(), heading.id.clone()));
            let text = in_a_line(markdown.get(from..to).unwrap_or_default());
            let said = heading.as_ref().map_or("", |(text, _)| text.as_str());
            let lower = [page.title.to_lowercase(), said.to_lowercase(), text.to_lowercase()];
            places.push(Place { path: path.clone(), title: page.title.clone(), heading, text, lower });
        }
    }
    places
}

/// The text without headings and fences.
fn in_a_line(text: &str) -> String {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with("```") && !line.starts_with("| ---"));
    lines.collect::<Vec<_>>().join(" ")
}

/// The best places for a question.
pub(super) fn find<'a>(places: &'a [Place], query: &str) -> Vec<Found<'a>> {
    let query = query.to_lowercase();
    let words: Vec<&str> = query.split_whitespace().take(WORDS_MAX).collect();
    let Some(first) = words.first() else { return Vec::new() };
    let mut found: Vec<Found<'_>> = places
        .iter()
        .filter_map(|place| {
            Some(Found {
                score: place.score(&words)?,
                path: &place.path,
                title: &place.title,
                heading: place.heading.as_ref(),
                around: place.around(first),
            })
        })
        .collect();
    found.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.path.cmp(b.path)));
    found.truncate(FOUND_MAX);
    found
}

impl Place {
    /// How well it fits; None when a word is missing, or when all stand in the title only and this is not the page's
    /// beginning.
    fn score(&self, words: &[&str]) -> Option<usize> {
        let [title, heading, text] = &self.lower;
        let is_beginning = self.heading.is_none();
        let (mut score, mut here) = (0, is_beginning);
        for word in words {
            let (in_title, in_heading, in_text) =
                (title.contains(word), heading.contains(word), text.contains(word));
            if !(in_title || in_heading || in_text) {
                return None;
            }
            here |= in_heading || in_text;
            let of_title = if is_beginning { 16 } else { 1 };
            score += usize::from(in_title) * of_title + usize::from(in_heading) * 8 + usize::from(in_text);
        }
        here.then_some(score)
    }

    /// What stands around the first occurrence of a word.
    fn around(&self, word: &str) -> String {
        let lower = &self.lower[2];
        let at = lower.find(word).map_or(0, |at| lower[..at].chars().count());
        let from = at.saturating_sub(SHOWN / 6);
        let shown: String = self.text.chars().skip(from).take(SHOWN).collect();
        let more = |is: bool| if is { "…" } else { "" };
        let (before, behind) = (more(from > 0), more(self.text.chars().count() > from + SHOWN));
        format!("{before}{}{behind}", shown.trim())
    }
}
