"""MKGformer's texts: its tokenizers, and word pieces as the authors' processors make them."""
