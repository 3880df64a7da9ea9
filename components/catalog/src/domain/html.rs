//! Descriptions may be HTML written by strangers. Before one is stored it is rewritten from an allow-list, so that no client can be
//! made to run what a seller wrote; a card shows the bare text of its beginning. Text without markup passes unchanged.

/// Elements that are kept, without attributes unless `ATTRIBUTES` names them.
const ELEMENTS: &[&str] = &[
    "a",
    "b",
    "blockquote",
    "br",
    "code",
    "div",
    "em",
    "figcaption",
    "figure",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "u",
    "ul",
];
const ATTRIBUTES: &[(&str, &[&str])] = &[
    ("a", &["href", "title"]),
    ("img", &["src", "alt", "width", "height"]),
    ("td", &["colspan", "rowspan"]),
    ("th", &["colspan", "rowspan"]),
];
/// Elements that have no end tag.
const VOID: &[&str] = &["br", "hr", "img"];
/// Elements a browser does not read as markup inside, or that are not text: they go with their content.
const DROPPED_WHOLE: &[&str] = &[
    "embed",
    "iframe",
    "noembed",
    "noframes",
    "noscript",
    "object",
    "plaintext",
    "script",
    "style",
    "template",
    "textarea",
    "title",
    "xmp",
];
const SCHEMES: &[&str] = &["https://", "http://", "mailto:"];

/// How deep elements stand in each other. No text for people needs as much; without a bound, each end tag of a text could be compared with all that
/// is open in it.
const DEPTH: usize = 64;

/// The description with nothing left but the elements and attributes of the allow-list, every element closed.
pub(crate) fn sanitise(html: &str) -> String {
    if !html.contains('<') {
        return html.to_owned();
    }
    let mut clean = String::with_capacity(html.len());
    let mut open: Vec<&'static str> = Vec::new();
    for token in tokens(html) {
        match token {
            Token::Text(text) => clean.push_str(&text.replace('<', "&lt;")),
            Token::Start { name, attributes } => {
                let fits = |element: &&str| VOID.contains(element) || open.len() < DEPTH;
                let Some(element) = allowed(&name).filter(fits) else {
                    continue;
                };
                clean.push('<');
                clean.push_str(element);
                write_attributes(&mut clean, element, &attributes);
                clean.push('>');
                if !VOID.contains(&element) {
                    open.push(element);
                }
            }
            Token::End { name } => {
                let Some(position) = open.iter().rposition(|element| *element == name) else {
                    continue;
                };
                open.drain(position..)
                    .rev()
                    .for_each(|element| write_end(&mut clean, element));
            }
        }
    }
    open.drain(..).rev().for_each(|element| write_end(&mut clean, element));
    clean
}

/// The beginning of the text without markup, blanks collapsed; at most `max_chars` characters and an ellipsis.
pub(crate) fn excerpt(html: &str, max_chars: usize) -> String {
    let mut text = String::new();
    let mut length = 0;
    let mut gap = false;
    for token in tokens(html) {
        let Token::Text(part) = token else {
            gap = true;
            continue;
        };
        for letter in part.chars() {
            if letter.is_whitespace() {
                gap = true;
                continue;
            }
            if length >= max_chars {
                text.push('…');
                return text;
            }
            if gap && !text.is_empty() {
                text.push(' ');
                length += 1;
            }
            gap = false;
            text.push(letter);
            length += 1;
        }
    }
    text
}

/// Names in lower case, values as written.
type Attributes = Vec<(String, String)>;

enum Token<'a> {
    Text(&'a str),
    Start {
        name: String,
        attributes: Vec<(String, String)>,
    },
    End {
        name: String,
    },
}

fn allowed(name: &str) -> Option<&'static str> {
    ELEMENTS.iter().find(|element| **element == name).copied()
}

fn write_end(clean: &mut String, element: &str) {
    clean.push_str("</");
    clean.push_str(element);
    clean.push('>');
}

fn write_attributes(clean: &mut String, element: &str, attributes: &[(String, String)]) {
    let known = ATTRIBUTES
        .iter()
        .find(|(of, _)| *of == element)
        .map_or(&[][..], |(_, names)| names);
    for (name, value) in attributes {
        if !known.contains(&name.as_str()) || (matches!(name.as_str(), "href" | "src") && !is_harmless_address(value)) {
            continue;
        }
        clean.push(' ');
        clean.push_str(name);
        clean.push_str("=\"");
        clean.push_str(&value.replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;"));
        clean.push('"');
    }
}

/// An absolute address of a known scheme, or a path. Compared before entities are decoded: `java&#115;cript:` starts with neither.
fn is_harmless_address(address: &str) -> bool {
    let address = address.trim();
    address.starts_with('/')
        || SCHEMES.iter().any(|scheme| {
            address
                .get(..scheme.len())
                .is_some_and(|beginning| beginning.eq_ignore_ascii_case(scheme))
        })
}

/// Splits HTML the way a browser would; comments, declarations and elements dropped whole yield nothing.
fn tokens(html: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = html;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let Some(markup) = rest.strip_prefix('<') else {
                let (text, after) = rest.split_at(rest.find('<').unwrap_or(rest.len()));
                rest = after;
                return Some(Token::Text(text));
            };
            if let Some(comment) = markup.strip_prefix("!--") {
                rest = comment.split_once("-->").map_or("", |(_, after)| after);
                continue;
            }
            if markup.starts_with(['!', '?']) {
                rest = markup.split_once('>').map_or("", |(_, after)| after);
                continue;
            }
            let is_end = markup.starts_with('/');
            let name_at = &markup[usize::from(is_end)..];
            if !name_at.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
                let (text, after) = rest.split_at(1);
                rest = after;
                return Some(Token::Text(text));
            }
            let Some((name, attributes, after)) = read_tag(name_at) else {
                // The tag never ends: a browser drops it, and so does this.
                rest = "";
                continue;
            };
            rest = after;
            if is_end {
                return Some(Token::End { name });
            }
            if DROPPED_WHOLE.contains(&name.as_str()) {
                rest = after_end_tag(after, &name);
                continue;
            }
            return Some(Token::Start { name, attributes });
        }
        None
    })
}

/// The name in lower case, the attributes and what follows the `>`.
fn read_tag(tag: &str) -> Option<(String, Attributes, &str)> {
    let is_name_end = |letter: char| letter.is_ascii_whitespace() || matches!(letter, '/' | '>');
    let (name, mut rest) = tag.split_at(tag.find(is_name_end)?);
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|letter: char| letter.is_ascii_whitespace() || letter == '/');
        if let Some(after) = rest.strip_prefix('>') {
            return Some((name.to_ascii_lowercase(), attributes, after));
        }
        // The first character belongs to the name even if it is an equals sign, as in a browser; so the loop always advances.
        let first = rest.chars().next()?.len_utf8();
        let length = rest[first..]
            .find(|letter: char| is_name_end(letter) || letter == '=')
            .map(|at| at + first)?;
        let (attribute, after) = rest.split_at(length);
        rest = after.trim_start_matches(|letter: char| letter.is_ascii_whitespace());
        let mut value = "";
        if let Some(after) = rest.strip_prefix('=') {
            rest = after.trim_start_matches(|letter: char| letter.is_ascii_whitespace());
            (value, rest) = match rest.chars().next()? {
                quote @ ('"' | '\'') => rest[1..].split_once(quote)?,
                _ => rest.split_at(rest.find(|letter: char| letter.is_ascii_whitespace() || letter == '>')?),
            };
        }
        attributes.push((attribute.to_ascii_lowercase(), value.to_owned()));
    }
}

fn after_end_tag<'a>(content: &'a str, name: &str) -> &'a str {
    let mut rest = content;
    while let Some((_, after)) = rest.split_once("</") {
        if after
            .get(..name.len())
            .is_some_and(|end| end.eq_ignore_ascii_case(name))
        {
            return after.split_once('>').map_or("", |(_, after)| after);
        }
        rest = after;
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_passes_unchanged() {
        assert_eq!(sanitise("5 > 3 & \"quotes\"\nline"), "5 > 3 & \"quotes\"\nline");
    }

    #[test]
    fn a_lone_angle_bracket_is_text() {
        assert_eq!(sanitise("a < b <3"), "a &lt; b &lt;3");
    }

    #[test]
    fn allowed_markup_stays_and_is_closed() {
        assert_eq!(
            sanitise("<P class=x>one<br/>two<b>three"),
            "<p>one<br>two<b>three</b></p>"
        );
        assert_eq!(sanitise("</div>text</p>"), "text");
    }

    #[test]
    fn whatever_could_run_is_gone() {
        for (written, kept) in [
            ("<script>alert(1)</script>x", "x"),
            ("<SCRIPT src=//e.vil></SCRIPT >x", "x"),
            ("<img src=x onerror=alert(1)>", "<img>"),
            ("<a href='javascript:alert(1)'>x</a>", "<a>x</a>"),
            ("<a href='java&#115;cript:alert(1)'>x</a>", "<a>x</a>"),
            (
                "<a href=\" https://shop.example/?a=1&b=2\" onclick=e()>x</a>",
                "<a href=\" https://shop.example/?a=1&b=2\">x</a>",
            ),
            ("<svg/onload=alert(1)>x", "x"),
            ("<scr<script>ipt>alert(1)</script>", "ipt>alert(1)"),
            ("<style>p{}</style><iframe src=x></iframe>x", "x"),
            ("<!-- <script> -->x<!doctype html>", "x"),
            (
                "<a title='\"><script>alert(1)</script>'>x</a>",
                "<a title=\"&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\">x</a>",
            ),
            ("x<img src=\"y", "x"),
            ("<script>never closed", ""),
        ] {
            assert_eq!(sanitise(written), kept, "{written}");
        }
    }

    #[test]
    fn elements_stand_in_each_other_to_a_depth() {
        let deep = sanitise(&format!("{}x{}", "<b>".repeat(10_000), "</i></b>".repeat(10_000)));
        assert_eq!(deep, format!("{}x{}", "<b>".repeat(DEPTH), "</b>".repeat(DEPTH)));
        assert_eq!(sanitise(&deep), deep);
    }

    #[test]
    fn sanitising_twice_changes_nothing_more() {
        let once = sanitise("<p onclick=x>a < b<a href=/c title='\"'>d</a><ul><li>e");
        assert_eq!(sanitise(&once), once);
    }

    #[test]
    fn an_excerpt_is_bare_text_of_bounded_length() {
        assert_eq!(
            excerpt("<h1>Fine</h1>\n<p>cotton   shirt</p><script>x</script>", 50),
            "Fine cotton shirt"
        );
        assert_eq!(excerpt("ấấấấ", 4), "ấấấấ");
        assert_eq!(excerpt("ấấấấấ", 4), "ấấấấ…");
        assert_eq!(excerpt("", 4), "");
    }
}
