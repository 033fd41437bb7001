//! Owns the marks around a generated part of a document. Never knows what is in it.

const END: &str = "<!-- end -->";

fn begin(name: &str) -> String {
    format!("<!-- generated: {name} -->")
}

/// The text with the part between its marks replaced; an error if they are not there once, in order.
pub(crate) fn replace(text: &str, name: &str, part: &str) -> Result<String, String> {
    let begin = begin(name);
    let (before, rest) =
        text.split_once(&begin).ok_or_else(|| format!("there is no line `{begin}`"))?;
    let (old, after) =
        rest.split_once(END).ok_or_else(|| format!("`{begin}` has no `{END}` behind it"))?;
    if old.contains("<!-- generated") || after.contains(&begin) {
        return Err(format!("`{begin}` must be there once, with an end of its own"));
    }
    Ok(format!("{before}{begin}\n{}\n{END}{after}", part.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::replace;

    #[test]
    fn a_part_is_replaced_and_the_rest_stays() {
        let text = "a\n<!-- generated: x -->\nold\n<!-- end -->\nb\n";
        let new = replace(text, "x", "new\nlines\n").expect("replaced");
        assert_eq!(new, "a\n<!-- generated: x -->\nnew\nlines\n<!-- end -->\nb\n");
        assert_eq!(replace(&new, "x", "new\nlines"), Ok(new));
    }

    #[test]
    fn marks_that_are_missing_or_doubled_are_refused() {
        for text in [
            "",
            "<!-- generated: x -->",
            "<!-- generated: y --><!-- end -->",
            "<!-- generated: x --><!-- generated: y --><!-- end -->",
            "<!-- generated: x --><!-- end --><!-- generated: x --><!-- end -->",
        ] {
            assert!(replace(text, "x", "").is_err(), "{text}");
        }
    }
}
