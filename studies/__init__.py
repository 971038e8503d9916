"""What distilling is worth: lists of trainings, and the page that is written from them."""
