"""Models and ControlNets in one safetensors file, in the layout in which they were trained or diffusers' own.

What a file holds is told from the names and shapes of its tensors (`header`): the family (`kinds`), each part's
configuration (`networks`, `vae`, `text`), the words (`words`). Nothing is converted on disk: a real file has seven
gigabytes, and a copy of them would only be read once. `weights` reads one part at a time, renamed by diffusers'
converters, after every tensor of it was compared with what its configuration asks for.
"""
