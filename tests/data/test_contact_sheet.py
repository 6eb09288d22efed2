from inkdigits.data.splits import Split

Splits = tuple[Split, Split]


def test_names_of_the_classes_stand_on_the_sheet_and_long_ones_make_room(toy: Splits) -> None:
    from inkdigits.data.contact_sheet import draw_contact_sheet

    short = draw_contact_sheet(toy[0].images, toy[0].labels, toy[0].class_names)
    names = ["ankle boot with a long name", "お", *toy[0].class_names[2:]]
    assert draw_contact_sheet(toy[0].images, toy[0].labels, names).shape[1] > short.shape[1] + 100
