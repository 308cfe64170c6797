//! The front door as clients meet it, over a real engine.
