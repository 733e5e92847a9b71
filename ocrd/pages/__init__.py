"""Files become page images, in child processes: `source.ChildPageSource` is the way in."""
