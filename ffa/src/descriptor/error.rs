//! Owns the rules of descriptors by name; never checks one.

use crate::FfaError;

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident, $status:ident, $rule:literal;)+) => {
        /// The rule that a descriptor broke.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DescriptorError { $($(#[$doc])* $name,)+ }

        impl DescriptorError {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns the FF-A status for whoever sent the descriptor.
            #[must_use]
            pub const fn status(self) -> FfaError {
                match self { $(Self::$name => FfaError::$status,)+ }
            }

            /// Returns the rule in one sentence, for logs and tables.
            #[must_use]
            pub const fn rule(self) -> &'static str {
                match self { $(Self::$name => $rule,)+ }
            }
        }
    };
}

rules! {
    /// Neither 1.0 nor a later 1.x.
    UnsupportedVersion, NotSupported, "The negotiated version must be 1.x.";
    /// The fragment is longer than the announced total, or the total is 0.
    Lengths, InvalidParameters, "A fragment must not be longer than the announced total, nor empty.";
    /// The bytes end within the header.
    HeaderTruncated, InvalidParameters, "The header must lie in the descriptor.";
    /// A reserved field of the header is set.
    HeaderReserved, InvalidParameters, "Reserved fields of the header must be zero.";
    /// An attribute encoding has no meaning.
    Attributes, InvalidParameters, "Memory attributes must be one of the defined encodings.";
    /// The security bit is set by someone who has no say in it.
    SecurityBit, InvalidParameters, "Only a retrieve response may set the security state bit.";
    /// A reserved flag is set, or flags contradict each other.
    Flags, InvalidParameters, "Flags must be those defined for the message.";
    /// Zeroing of memory that its owner keeps using.
    ZeroOnShare, InvalidParameters, "Shared memory cannot be zeroed.";
    /// A handle where none belongs, or none where one does.
    Handle, InvalidParameters, "The handle must be zero in a send and valid anywhere else.";
    /// The receivers' size is neither 16 nor 32.
    ReceiverSize, InvalidParameters, "A receiver's descriptor must be 16 or 32 bytes.";
    /// The receivers' offset is unaligned or lies in the header.
    ReceiverOffset, InvalidParameters, "Receivers must start at a multiple of 16 behind the header.";
    /// The receivers end beyond the descriptor.
    ReceiversTruncated, InvalidParameters, "All receivers must lie in the descriptor.";
    /// Nobody receives.
    NoReceiver, InvalidParameters, "A transaction must have a receiver.";
    /// More than [`super::MAX_RECEIVERS`].
    TooManyReceivers, NoMemory, "A transaction must not have more receivers than we take.";
    /// Donated memory has one receiver.
    DonateReceivers, InvalidParameters, "A donation must have exactly one receiver.";
    /// A receiver is named twice.
    DuplicateReceiver, InvalidParameters, "A receiver must be named once.";
    /// The sender is its own receiver.
    SenderReceives, InvalidParameters, "The sender must not be a receiver.";
    /// A reserved field or flag of a receiver is set.
    ReceiverReserved, InvalidParameters, "Reserved fields of a receiver must be zero.";
    /// A permission encoding has no meaning, or none where one is needed.
    Permission, InvalidParameters, "Permissions must be defined, and stated where the message needs them.";
    /// Executable shared memory.
    ExecutableShare, InvalidParameters, "Shared memory must not be executable.";
    /// Two receivers point to different composites.
    CompositeDiffers, InvalidParameters, "All receivers must name the same composite.";
    /// A send or a response without composite.
    NoComposite, InvalidParameters, "A send or a retrieve response must have a composite.";
    /// The composite's offset is unaligned.
    CompositeUnaligned, InvalidParameters, "The composite must start at a multiple of 16.";
    /// The composite lies in the header or in the receivers.
    CompositeOverlaps, InvalidParameters, "The composite must lie behind the receivers.";
    /// The composite ends beyond the descriptor or the first fragment.
    CompositeTruncated, InvalidParameters, "The composite must lie in the (first fragment of the) descriptor.";
    /// A reserved field of the composite is set.
    CompositeReserved, InvalidParameters, "Reserved fields of the composite must be zero.";
    /// No range, or no page.
    NoPages, InvalidParameters, "A composite must describe at least one page.";
    /// Announced length and described length differ.
    TotalLength, InvalidParameters, "The announced total must be the length that the descriptor describes.";
    /// Page total and constituents differ.
    PageTotal, InvalidParameters, "The page total must be the sum of the constituents.";
    /// A fragment does not continue where the last one ended.
    FragmentOffset, InvalidParameters, "A fragment must begin where the one before ended.";
    /// A fragment ends within a constituent.
    ConstituentSplit, InvalidParameters, "A fragment must hold whole constituents.";
    /// More fragments than announced.
    FragmentExcess, InvalidParameters, "Fragments must not exceed the announced total.";
    /// The descriptor is not complete.
    Incomplete, InvalidParameters, "All announced constituents must have arrived.";
    /// A reserved field of a constituent is set.
    ConstituentReserved, InvalidParameters, "Reserved fields of a constituent must be zero.";
    /// An address is unaligned or beyond 48 bits.
    Address, InvalidParameters, "A constituent must start at a multiple of 4096 below 2^48.";
    /// An empty range, or one that ends beyond 48 bits.
    Range, InvalidParameters, "A constituent must have a page and end at or below 2^48.";
    /// Two ranges have a page in common.
    Overlap, InvalidParameters, "A page may be described once.";
    /// More unsorted ranges than can be checked without scratch space.
    TooManyUnsorted, NoMemory, "Many ranges must be in ascending order, or be checked with scratch space.";
    /// The buffer is too small for what must be written.
    NoRoom, NoMemory, "The buffer must hold what is written.";
}
