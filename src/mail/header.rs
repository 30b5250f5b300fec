//! Header blocks: iterate over fields, select some, unfold, write new ones that cannot be split.

/// One field of a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name as written.
    pub name: &'a [u8],
    /// Its body with folds, without the line end that closes it.
    pub body: &'a [u8],
    /// The whole field with its line ends.
    pub raw: &'a [u8],
}

impl Field<'_> {
    /// Whether the field has this name, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The fields of a header block, in order. Stops at the empty line or the first line that is none.
pub fn fields(block: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let _ = block;
    std::iter::empty()
}

/// RFC 3501 §6.4.5, HEADER.FIELDS and HEADER.FIELDS.NOT: the fields whose name is (with `not`: is not)
/// among `names`, as written, and the empty line that ends a header.
pub fn select<N: AsRef<[u8]>>(block: &[u8], names: &[N], not: bool) -> Vec<u8> {
    let _ = (block, names, not);
    todo!()
}

/// A field's body with folds undone (RFC 5322 §2.2.3) and outer white space removed.
pub fn unfold(body: &[u8]) -> Vec<u8> {
    let _ = body;
    todo!()
}

/// A field's body for searching: unfolded, encoded words (RFC 2047) decoded to UTF-8, what does not
/// decode kept.
pub fn decode(body: &[u8]) -> String {
    let _ = body;
    todo!()
}

/// Why a field could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// The name is not an RFC 5322 field name.
    Name,
    /// The value holds CR, LF or NUL, at this offset.
    Value {
        /// Octets from the value's start.
        at: usize,
    },
}

/// Appends `name: value` and CRLF to `out`, or refuses and leaves `out` as it was.
pub fn write(out: &mut Vec<u8>, name: &str, value: &[u8]) -> Result<(), HeaderError> {
    let _ = (out, name, value);
    todo!()
}
