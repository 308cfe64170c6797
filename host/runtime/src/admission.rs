//! How large a component may be to be compiled at all: bounds that a parse finds out before anything else is done.

/// Bytes of a component, at most.
pub const COMPONENT_BYTES_MAX: usize = 32 << 20;
/// Core functions of a component, at most. A Python interpreter has some 20,000.
pub const FUNCTIONS_MAX: usize = 65_536;
/// Bytes of one core function, at most.
pub const FUNCTION_BYTES_MAX: usize = 2 << 20;
/// Blocks inside each other in one core function, at most.
pub const BLOCKS_DEEP_MAX: usize = 5_000;
/// Core modules of a component, at most.
pub const MODULES_MAX: usize = 64;
/// Components inside a component, at most.
pub const COMPONENTS_MAX: usize = 64;
/// Components and modules inside each other, at most, the outermost included.
pub const NESTING_MAX: usize = 8;
/// Linear memories of a component, at most.
pub const MEMORIES_MAX: usize = 8;
/// Tables of a component, at most.
pub const TABLES_MAX: usize = 64;
/// Core instances of a component, at most: a Python guest has 109.
pub const CORE_INSTANCES_MAX: usize = 192;
/// Types of a component, at most.
pub const TYPES_MAX: usize = 50_000;
/// Globals of a component, at most.
pub const GLOBALS_MAX: usize = 20_000;
/// Imports of a component and its modules, at most.
pub const IMPORTS_MAX: usize = 20_000;
/// Exports of a component and its modules, at most.
pub const EXPORTS_MAX: usize = 50_000;
/// Segments of data and elements of a component, at most.
pub const SEGMENTS_MAX: usize = 50_000;
/// Custom sections of a component, at most.
pub const CUSTOM_SECTIONS_MAX: usize = 1_000;
