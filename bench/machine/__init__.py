"""The machine that measures: its conditions and ceilings, processes of contenders, and how they take turns."""
